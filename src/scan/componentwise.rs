//! Chunks of elements whose components do not mix: carried in registers, chunks interleaved.
//!
//! A scan of one component waits for its own last result: 4 to 8 cycles a step. Four
//! chunks at a time fill them. Every chunk is folded in the order and with the operations of
//! the plain combine: the bits are the same.

use super::affine::Form;
use crate::scalar::Real;

/// `K` components of an element, `(a, b)`.
type Tile<R, const K: usize> = ([R; K], [R; K]);

#[inline(always)]
fn load<R: Real, const K: usize>(form: Form, element: &[R], first: usize) -> Tile<R, K> {
    let mut tile = ([element[0]; K], [element[0]; K]);
    if !form.shared {
        tile.0.copy_from_slice(&element[first..][..K]);
    }
    tile.1.copy_from_slice(&element[form.entries() + first..][..K]);
    tile
}

#[inline(always)]
fn store<R: Real, const K: usize>(
    form: Form,
    element: &mut [R],
    first: usize,
    (a, b): &Tile<R, K>,
) {
    if !form.shared {
        element[first..][..K].copy_from_slice(a);
    } else if first + K == form.n {
        // The tiles before this one have read the shared entry.
        element[0] = a[0];
    }
    element[form.entries() + first..][..K].copy_from_slice(b);
}

/// `carry` becomes its combination with the next element in the order of the scan.
#[inline(always)]
fn advance<R: Real, const K: usize, const REVERSE: bool>(
    carry: &mut Tile<R, K>,
    (a, b): &Tile<R, K>,
) {
    for j in 0..K {
        if REVERSE {
            carry.1[j] = carry.0[j].mul_add(b[j], carry.1[j]);
        } else {
            carry.1[j] = a[j].mul_add(carry.1[j], b[j]);
        }
        carry.0[j] *= a[j];
    }
}

/// Components `first..first + K` of `S` chunks of `span` numbers.
struct Columns<const K: usize, const S: usize, const REVERSE: bool> {
    form: Form,
    span: usize,
    first: usize,
}

impl<const K: usize, const S: usize, const REVERSE: bool> Columns<K, S, REVERSE> {
    #[inline(always)]
    fn width(&self) -> usize {
        self.form.entries() + self.form.n
    }

    /// Where the element `place` of the scan's order begins.
    #[inline(always)]
    fn offset(&self, place: usize) -> usize {
        if REVERSE { self.span - (place + 1) * self.width() } else { place * self.width() }
    }

    /// Element `place` of the scan's order, in a chunk.
    #[inline(always)]
    fn element<R: Real>(&self, chunk: &[R], place: usize) -> Tile<R, K> {
        load(self.form, &chunk[self.offset(place)..][..self.width()], self.first)
    }

    /// Not with `REVERSE`: a total is folded forwards.
    #[inline(always)]
    fn reduce<R: Real>(&self, elements: &[R], totals: &mut [R]) {
        let &Self { form, span, first } = self;
        let width = self.width();
        let mut chunks: [&[R]; S] = [&[]; S];
        let mut carries: [Tile<R, K>; S] = [([R::default(); K], [R::default(); K]); S];
        for s in 0..S {
            chunks[s] = &elements[s * span..][..span];
            carries[s] = self.element(chunks[s], 0);
        }
        for place in 1..span / width {
            for s in 0..S {
                advance::<R, K, REVERSE>(&mut carries[s], &self.element(chunks[s], place));
            }
        }
        for (carry, total) in carries.iter().zip(totals.chunks_exact_mut(width)) {
            store(form, total, first, carry);
        }
    }

    #[inline(always)]
    fn replay<R: Real>(&self, elements: &mut [R], prefixes: &[R]) {
        let &Self { form, span, first } = self;
        let width = self.width();
        let mut carries: [Tile<R, K>; S] = [([R::default(); K], [R::default(); K]); S];
        for s in 0..S {
            carries[s] = if prefixes.is_empty() {
                self.element(&elements[s * span..][..span], 0)
            } else {
                load(form, &prefixes[s * width..][..width], first)
            };
        }
        let elements = &mut elements[..S * span];
        let from = if prefixes.is_empty() { 1 } else { 0 };
        for place in from..span / width {
            let offset = self.offset(place);
            for s in 0..S {
                let element = &mut elements[s * span + offset..][..width];
                advance::<R, K, REVERSE>(&mut carries[s], &load(form, element, first));
                store(form, element, first, &carries[s]);
            }
        }
    }
}

/// What to do with the chunks. `Reduce` is always forwards.
pub(super) enum Pass<'a, R> {
    /// Fold each into one of `totals`.
    Reduce { elements: &'a [R], totals: &'a mut [R] },
    /// Scan each from one of `prefixes`, which is empty for a single chunk without one.
    Replay { elements: &'a mut [R], prefixes: &'a [R] },
}

/// One pass over chunks of `chunk` elements (the last may be shorter), see
/// [`ScanOp`](super::ScanOp).
pub(super) fn pass<R: Real>(form: Form, chunk: usize, reverse: bool, pass: Pass<'_, R>) {
    if reverse {
        directed::<R, true>(form, chunk, pass);
    } else {
        directed::<R, false>(form, chunk, pass);
    }
}

fn directed<R: Real, const REVERSE: bool>(form: Form, chunk: usize, mut pass: Pass<'_, R>) {
    // A constant width makes the offsets of the small ones constants.
    let small = |n| Form { n, size: 1, shared: false };
    match form {
        Form { n: 1, .. } => columns::<R, 1, 4, REVERSE>(small(1), chunk, 0, &mut pass),
        Form { n: 2, shared: false, .. } => {
            columns::<R, 2, 2, REVERSE>(small(2), chunk, 0, &mut pass);
        }
        Form { n: 4, shared: false, .. } => {
            columns::<R, 4, 2, REVERSE>(small(4), chunk, 0, &mut pass);
        }
        Form { n: 0 | WIDE.., .. } => rows::<R, REVERSE>(form, chunk, pass),
        _ => {
            let mut first = 0;
            while first < form.n {
                let left = form.n - first;
                if left >= 16 {
                    columns::<R, 16, 1, REVERSE>(form, chunk, first, &mut pass);
                    first += 16;
                } else if left >= 8 {
                    columns::<R, 8, 1, REVERSE>(form, chunk, first, &mut pass);
                    first += 8;
                } else if left >= 4 {
                    columns::<R, 4, 2, REVERSE>(form, chunk, first, &mut pass);
                    first += 4;
                } else if left >= 2 {
                    columns::<R, 2, 2, REVERSE>(form, chunk, first, &mut pass);
                    first += 2;
                } else {
                    columns::<R, 1, 4, REVERSE>(form, chunk, first, &mut pass);
                    first += 1;
                }
            }
        }
    }
}

/// From this many components on, one element after the other is faster.
const WIDE: usize = 24;

/// `out = a ⊙ out + b`.
#[inline(always)]
fn scale_add<R: Real>(form: Form, out: &mut [R], a: &[R], b: &[R]) {
    if form.shared {
        out.iter_mut().zip(b).for_each(|(out, b)| *out = a[0].mul_add(*out, *b));
    } else {
        out.iter_mut().zip(a).zip(b).for_each(|((out, a), b)| *out = a.mul_add(*out, *b));
    }
}

/// `out = a ⊙ x + out`.
#[inline(always)]
fn add_product<R: Real>(form: Form, out: &mut [R], a: &[R], x: &[R]) {
    if form.shared {
        out.iter_mut().zip(x).for_each(|(out, x)| *out = a[0].mul_add(*x, *out));
    } else {
        out.iter_mut().zip(a).zip(x).for_each(|((out, a), x)| *out = a.mul_add(*x, *out));
    }
}

/// One element after the other, all components of each.
fn rows<R: Real, const REVERSE: bool>(form: Form, chunk: usize, pass: Pass<'_, R>) {
    let width = form.entries() + form.n;
    let span = chunk * width;
    match pass {
        Pass::Reduce { elements, totals } => {
            for (chunk, total) in elements.chunks(span).zip(totals.chunks_exact_mut(width)) {
                let (head, rest) = chunk.split_at(width);
                total.copy_from_slice(head);
                for element in rest.chunks_exact(width) {
                    let (a, b) = element.split_at(form.entries());
                    let (sum_a, sum_b) = total.split_at_mut(form.entries());
                    scale_add(form, sum_b, a, b);
                    for (sum, a) in sum_a.iter_mut().zip(a) {
                        *sum *= *a;
                    }
                }
            }
        }
        Pass::Replay { elements, prefixes } => {
            for (number, chunk) in elements.chunks_mut(span).enumerate() {
                let count = chunk.len() / width;
                for place in 0..count {
                    let index = if REVERSE { count - 1 - place } else { place };
                    // The neighbour before it in the order of the scan, already done.
                    let (carry, element) = if place == 0 {
                        if prefixes.is_empty() {
                            continue;
                        }
                        (&prefixes[number * width..][..width], &mut chunk[index * width..][..width])
                    } else if REVERSE {
                        let (front, back) = chunk.split_at_mut((index + 1) * width);
                        (&back[..width], &mut front[index * width..])
                    } else {
                        let (front, back) = chunk.split_at_mut(index * width);
                        (&front[(index - 1) * width..], &mut back[..width])
                    };
                    let (carry_a, carry_b) = carry.split_at(form.entries());
                    let (a, b) = element.split_at_mut(form.entries());
                    if REVERSE {
                        scale_add(form, b, carry_a, carry_b);
                    } else {
                        add_product(form, b, a, carry_b);
                    }
                    for (a, carry) in a.iter_mut().zip(carry_a) {
                        *a *= *carry;
                    }
                }
            }
        }
    }
}

/// Components `first..first + K` of all chunks, `S` chunks at a time while there are as many.
#[inline(always)]
fn columns<R: Real, const K: usize, const S: usize, const REVERSE: bool>(
    form: Form,
    chunk: usize,
    first: usize,
    pass: &mut Pass<'_, R>,
) {
    let width = form.entries() + form.n;
    let span = chunk * width;
    match pass {
        Pass::Reduce { elements, totals } => {
            let groups = elements.chunks(S * span).zip(totals.chunks_mut(S * width));
            for (group, totals) in groups {
                if group.len() == S * span {
                    Columns::<K, S, REVERSE> { form, span, first }.reduce(group, totals);
                    continue;
                }
                for (chunk, total) in group.chunks(span).zip(totals.chunks_exact_mut(width)) {
                    Columns::<K, 1, REVERSE> { form, span: chunk.len(), first }
                        .reduce(chunk, total);
                }
            }
        }
        Pass::Replay { elements, prefixes } => {
            if prefixes.is_empty() {
                let span = elements.len();
                Columns::<K, 1, REVERSE> { form, span, first }.replay(elements, &[]);
                return;
            }
            let groups = elements.chunks_mut(S * span).zip(prefixes.chunks(S * width));
            for (group, prefixes) in groups {
                if group.len() == S * span {
                    Columns::<K, S, REVERSE> { form, span, first }.replay(group, prefixes);
                    continue;
                }
                for (chunk, prefix) in group.chunks_mut(span).zip(prefixes.chunks_exact(width)) {
                    let span = chunk.len();
                    Columns::<K, 1, REVERSE> { form, span, first }.replay(chunk, prefix);
                }
            }
        }
    }
}
