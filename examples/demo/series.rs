//! A real series `[T, m]` from a file.

use crate::common::cli::Misuse;
use crate::options::Options;
use ndarray::{Array2, Axis, Ix1, Ix2, s};
use ndarray_npy::{ReadNpyError, ReadableElement};
use std::fs::File;
use std::path::Path;

/// Reads `.csv` or `.npy`. Every number is finite.
pub(crate) fn read(path: &Path) -> Result<Array2<f64>, Misuse> {
    let name = path.display();
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_lowercase();
    let open = || File::open(path).map_err(|error| Misuse::new(format!("--input {name}: {error}")));
    let series = match extension.as_str() {
        "csv" => {
            read_csv(open()?).map_err(|what| Misuse::new(format!("--input {name}: {what}")))?
        }
        "npy" => {
            open()?;
            read_npy(path).map_err(|what| Misuse::new(format!("--input {name}: {what}")))?
        }
        _ => return Err(Misuse::new(format!("--input {name}: expected a .csv or .npy file"))),
    };
    if series.is_empty() {
        return Err(Misuse::new(format!("--input {name}: expected at least one row of numbers")));
    }
    match series.indexed_iter().find(|(_, x)| !x.is_finite()) {
        Some(((row, column), x)) => Err(Misuse::new(format!(
            "--input {name}: expected finite numbers, got {x} in row {row}, column {column} \
             (counted from 0); fill in missing values first"
        ))),
        None => Ok(series),
    }
}

/// A comma between columns; a first line with anything but numbers is a header.
fn read_csv(file: File) -> Result<Array2<f64>, String> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(file);
    let mut numbers = Vec::new();
    let (mut rows, mut columns) = (0, None);
    for (index, record) in reader.byte_records().enumerate() {
        let record = record.map_err(|error| error.to_string())?;
        let line = record.position().map_or(0, csv::Position::line);
        let parsed: Vec<Result<f64, String>> = record
            .iter()
            .map(|cell| {
                let cell = String::from_utf8_lossy(cell);
                cell.parse().map_err(|_| cell.chars().take(40).collect())
            })
            .collect();
        if index == 0 && parsed.iter().all(Result::is_err) {
            continue;
        }
        let expected = *columns.get_or_insert(parsed.len());
        if parsed.len() != expected {
            return Err(format!(
                "expected {expected} columns as in the first row, got {} on line {line}",
                parsed.len()
            ));
        }
        for (column, number) in parsed.into_iter().enumerate() {
            numbers.push(number.map_err(|cell| {
                format!("expected a number, got {cell:?} on line {line}, column {}", column + 1)
            })?);
        }
        rows += 1;
    }
    Array2::from_shape_vec((rows, columns.unwrap_or(0)), numbers).map_err(|error| error.to_string())
}

/// An array of one axis (one component) or two, of any usual number type.
fn read_npy(path: &Path) -> Result<Array2<f64>, String> {
    let allowed = "expected an array [T, m] or [T] of float64, float32, int64 or int32";
    let result = read_as::<f64>(path)
        .or_else(|error| retry(error, || Ok(read_as::<f32>(path)?.mapv(f64::from))))
        .or_else(|error| retry(error, || Ok(read_as::<i64>(path)?.mapv(|x| x as f64))))
        .or_else(|error| retry(error, || Ok(read_as::<i32>(path)?.mapv(f64::from))));
    result.map_err(|error| format!("{allowed} ({error})"))
}

fn retry<A>(
    error: ReadNpyError,
    next: impl FnOnce() -> Result<A, ReadNpyError>,
) -> Result<A, ReadNpyError> {
    if matches!(error, ReadNpyError::WrongDescriptor(_)) { next() } else { Err(error) }
}

fn read_as<T: ReadableElement>(path: &Path) -> Result<Array2<T>, ReadNpyError> {
    let array: ndarray::ArrayD<T> = ndarray_npy::read_npy(path)?;
    let axes = array.ndim();
    match axes {
        1 => array.into_dimensionality::<Ix1>().map(|array| array.insert_axis(Axis(1))),
        _ => array.into_dimensionality::<Ix2>(),
    }
    .map_err(|_| ReadNpyError::WrongNdim(Some(2), axes))
}

/// The rows that the options ask for, its columns brought to mean 0 and standard deviation 1 unless
/// they say otherwise: a cell with random weights expects inputs of that size. Flags, columns of
/// nothing but 0 and 1, are of that size already.
pub(crate) fn choose(series: &Array2<f64>, options: &Options) -> Result<Array2<f64>, Misuse> {
    let (rows, columns) = series.dim();
    let (inputsize, length) = options.asked();
    if inputsize.is_some_and(|m| m != columns) {
        return Err(Misuse::new(format!(
            "--inputsize: expected {columns}, the columns of --input, or no --inputsize"
        )));
    }
    if options.batchsize() != 1 {
        return Err(Misuse::new("--batchsize: expected 1 with --input, a file holds one sequence"));
    }
    let length = length.unwrap_or(rows);
    if length > rows {
        return Err(Misuse::new(format!(
            "--length: expected at most {rows}, the rows of --input, got {length}"
        )));
    }
    let mut series = series.slice(s![..length, ..]).to_owned();
    for mut column in series.columns_mut() {
        let flags = column.iter().all(|&x| x == 0.0 || x == 1.0);
        let mean = column.mean().unwrap_or(0.0);
        let deviation = column.std(0.0);
        if !(options.raw || flags) {
            // A column that does not change has only a mean to take away.
            let scale = if deviation > 0.0 { deviation } else { 1.0 };
            column.mapv_inplace(|x| (x - mean) / scale);
        }
    }
    Ok(series.as_standard_layout().into_owned())
}
