//! Types of registers and instructions.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Pred,
    B8,
    B16,
    B32,
    B64,
    U8,
    U16,
    U32,
    U64,
    S8,
    S16,
    S32,
    S64,
    F32,
    F64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Predicate,
    Bits,
    Unsigned,
    Signed,
    Float,
}

impl Type {
    pub(crate) fn of(word: &str) -> Option<Self> {
        Some(match word {
            "pred" => Self::Pred,
            "b8" => Self::B8,
            "b16" => Self::B16,
            "b32" => Self::B32,
            "b64" => Self::B64,
            "u8" => Self::U8,
            "u16" => Self::U16,
            "u32" => Self::U32,
            "u64" => Self::U64,
            "s8" => Self::S8,
            "s16" => Self::S16,
            "s32" => Self::S32,
            "s64" => Self::S64,
            "f32" => Self::F32,
            "f64" => Self::F64,
            _ => return None,
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pred => "pred",
            Self::B8 => "b8",
            Self::B16 => "b16",
            Self::B32 => "b32",
            Self::B64 => "b64",
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::S8 => "s8",
            Self::S16 => "s16",
            Self::S32 => "s32",
            Self::S64 => "s64",
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }

    /// Bytes; a predicate has none.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Pred => 0,
            Self::B8 | Self::U8 | Self::S8 => 1,
            Self::B16 | Self::U16 | Self::S16 => 2,
            Self::B32 | Self::U32 | Self::S32 | Self::F32 => 4,
            Self::B64 | Self::U64 | Self::S64 | Self::F64 => 8,
        }
    }

    pub(crate) fn class(self) -> Class {
        match self {
            Self::Pred => Class::Predicate,
            Self::B8 | Self::B16 | Self::B32 | Self::B64 => Class::Bits,
            Self::U8 | Self::U16 | Self::U32 | Self::U64 => Class::Unsigned,
            Self::S8 | Self::S16 | Self::S32 | Self::S64 => Class::Signed,
            Self::F32 | Self::F64 => Class::Float,
        }
    }

    /// Whether a register of type `register` may stand where an instruction of this type wants one.
    pub(crate) fn agrees(self, register: Self) -> bool {
        if self.bytes() != register.bytes() {
            return false;
        }
        match (self.class(), register.class()) {
            (Class::Predicate, other) | (other, Class::Predicate) => other == Class::Predicate,
            (Class::Bits, _) | (_, Class::Bits) => true,
            (Class::Float, other) | (other, Class::Float) => other == Class::Float,
            _ => true,
        }
    }

    /// Whether a register may hold this type in `ld`, `st` and `cvt`, which let it be wider.
    pub(crate) fn fits(self, register: Self) -> bool {
        if self.agrees(register) {
            return true;
        }
        register.class() != Class::Float
            && self.class() != Class::Float
            && register.bytes() > self.bytes()
    }
}
