//! Barriers, fences, and what the lanes of a warp do together.

use super::{Decoder, Words};
use crate::lanes::Slots;
use crate::program::{Action, Reduction, ShuffleMode, Vote, WarpReduction};
use crate::ptx::{Operand, Refusal, Type};

impl Decoder<'_> {
    pub(super) fn warp(
        &mut self,
        opcode: &str,
        words: &mut Words,
        operands: &[Operand],
    ) -> Result<(), Refusal> {
        match opcode {
            "bar" | "barrier" => self.barrier(words, operands),
            "membar" | "fence" => {
                words.take_any(&["sc", "acq_rel", "acquire", "release", "proxy"]);
                words.take_any(&["cta", "gl", "sys", "gpu", "cluster"]);
                self.count(operands, 0)?;
                self.emit(Action::Nothing, Slots::default());
                Ok(())
            }
            "activemask" => {
                self.count(operands, 1)?;
                words.take("b32");
                let d = self.destination(&operands[0], Type::B32)?;
                self.emit(Action::ActiveMask, Slots { d, ..Slots::default() });
                Ok(())
            }
            _ if !words.take("sync") => Err(self.refusal(format!(
                "'{opcode}' without '.sync' is not supported on .target sm_70 and higher"
            ))),
            "shfl" => self.shuffle(words, operands),
            "vote" => self.vote(words, operands),
            "match" => self.match_values(words, operands),
            "redux" if self.module.architecture < 80 => {
                Err(self.refusal("Instruction 'redux' requires .target sm_80 or higher"))
            }
            "redux" => self.reduce(words, operands),
            _ => Err(self.refusal(format!("`{opcode}` is not emulated"))),
        }
    }

    fn barrier(&mut self, words: &mut Words, operands: &[Operand]) -> Result<(), Refusal> {
        if words.take("warp") {
            if !words.take("sync") {
                return Err(self.refusal("`bar.warp` wants .sync"));
            }
            self.count(operands, 1)?;
            let a = self.source(&operands[0], Type::B32)?;
            self.emit(Action::WarpBarrier, Slots { a, ..Slots::default() });
            return Ok(());
        }
        if words.take("cta") && self.module.version < 78 {
            return Err(self.refusal("'bar.cta' requires PTX ISA .version 7.8 or later"));
        }
        words.take("aligned");
        let waits = !words.take("arrive");
        let reduction = if words.take("red") {
            Some(match words.take_any(&["popc", "and", "or"]) {
                Some("popc") => Reduction::Count,
                Some("and") => Reduction::And,
                Some("or") => Reduction::Or,
                _ => return Err(self.refusal("`bar.red` wants .popc, .and or .or")),
            })
        } else {
            None
        };
        if waits && reduction.is_none() && !words.take("sync") {
            return Err(self.refusal("a barrier wants .sync, .arrive or .red"));
        }
        if reduction.is_some() {
            words.take_type();
        }
        // A reduction has a destination first and a predicate last.
        let ends = usize::from(reduction.is_some());
        let middle =
            operands.len().checked_sub(2 * ends).filter(|&middle| middle == 1 || middle == 2);
        let Some(middle) = middle else {
            return Err(self.refusal(format!("Wrong number of operands: got {}", operands.len())));
        };
        let inner = &operands[ends..ends + middle];
        match *inner {
            [Operand::Integer(number), ..] if !(0..16).contains(&number) => {
                let reason =
                    format!("Barrier number '{number}' out of range, expected to be in [0..15]");
                return Err(self.refusal(reason));
            }
            [_, Operand::Integer(count)] if count <= 0 || count % 32 != 0 => {
                let reason =
                    "Number of threads participating in barrier must be in multiple of warp size";
                return Err(self.refusal(reason));
            }
            _ => {}
        }
        let a = self.source(&inner[0], Type::U32)?;
        let counted = inner.len() == 2;
        let b = if counted { self.source(&inner[1], Type::U32)? } else { 0 };
        if !waits && !counted {
            return Err(self.refusal("`bar.arrive` wants a number of threads"));
        }
        let (mut c, mut d) = (0, 0);
        if let Some(reduction) = reduction {
            c = self.source(&operands[operands.len() - 1], Type::Pred)?;
            d = self.destination(
                &operands[0],
                if reduction == Reduction::Count { Type::U32 } else { Type::Pred },
            )?;
        }
        self.emit(Action::Barrier { counted, waits, reduction }, Slots { d, a, b, c, e: 0 });
        Ok(())
    }

    /// A destination with a predicate beside it, `d|p`, or without.
    fn with_predicate(
        &mut self,
        operand: &Operand,
        ty: Type,
    ) -> Result<(u32, Option<u32>), Refusal> {
        match operand {
            Operand::Pair(value, predicate) => {
                Ok((self.destination(value, ty)?, Some(self.destination(predicate, Type::Pred)?)))
            }
            operand => Ok((self.destination(operand, ty)?, None)),
        }
    }

    fn shuffle(&mut self, words: &mut Words, operands: &[Operand]) -> Result<(), Refusal> {
        self.count(operands, 5)?;
        let mode = match words.take_any(&["up", "down", "bfly", "idx"]) {
            Some("up") => ShuffleMode::Up,
            Some("down") => ShuffleMode::Down,
            Some("bfly") => ShuffleMode::Butterfly,
            Some("idx") => ShuffleMode::Index,
            _ => return Err(self.refusal("`shfl` wants .up, .down, .bfly or .idx")),
        };
        if words.take_type() != Some(Type::B32) {
            return Err(self.refusal("`shfl` moves .b32"));
        }
        let (d, predicate) = self.with_predicate(&operands[0], Type::B32)?;
        let b = self.source(&operands[1], Type::B32)?;
        let c = self.source(&operands[2], Type::B32)?;
        let clamp = self.source(&operands[3], Type::B32)?;
        let a = self.source(&operands[4], Type::B32)?;
        let action = Action::Shuffle { mode, clamp, predicate: predicate.is_some() };
        self.emit(action, Slots { d, a, b, c, e: predicate.unwrap_or(0) });
        Ok(())
    }

    fn vote(&mut self, words: &mut Words, operands: &[Operand]) -> Result<(), Refusal> {
        self.count(operands, 3)?;
        let vote = match words.take_any(&["all", "any", "uni", "ballot"]) {
            Some("all") => Vote::All,
            Some("any") => Vote::Any,
            Some("uni") => Vote::Uniform,
            Some("ballot") => Vote::Ballot,
            _ => return Err(self.refusal("`vote` wants .all, .any, .uni or .ballot")),
        };
        let result = if vote == Vote::Ballot { Type::B32 } else { Type::Pred };
        if words.take_type() != Some(result) {
            return Err(self.refusal("`vote` has another type"));
        }
        let b = self.source(&operands[1], Type::Pred)?;
        let a = self.source(&operands[2], Type::B32)?;
        let d = self.destination(&operands[0], result)?;
        self.emit(Action::Vote(vote), Slots { d, a, b, ..Slots::default() });
        Ok(())
    }

    fn match_values(&mut self, words: &mut Words, operands: &[Operand]) -> Result<(), Refusal> {
        self.count(operands, 3)?;
        let all = words.take("all");
        if !all && !words.take("any") {
            return Err(self.refusal("`match` wants .any or .all"));
        }
        let ty = words.take_type().ok_or_else(|| self.refusal("`match` has no type"))?;
        if !matches!(ty, Type::B32 | Type::B64) {
            return Err(self.bad_type("match", ty));
        }
        let (d, predicate) = self.with_predicate(&operands[0], Type::B32)?;
        let b = self.source(&operands[1], ty)?;
        let a = self.source(&operands[2], Type::B32)?;
        let e = match predicate {
            Some(e) => e,
            None => self.new_predicate(),
        };
        self.emit(Action::Match { all, long: ty == Type::B64 }, Slots { d, a, b, c: 0, e });
        Ok(())
    }

    fn reduce(&mut self, words: &mut Words, operands: &[Operand]) -> Result<(), Refusal> {
        self.count(operands, 3)?;
        let operation = words.take_any(&["add", "min", "max", "and", "or", "xor"]);
        let ty = words.take_type().ok_or_else(|| self.refusal("`redux` has no type"))?;
        let reduction = match (operation, ty) {
            (Some("add"), Type::U32 | Type::S32) => WarpReduction::Add,
            (Some("min"), Type::U32) => WarpReduction::MinUnsigned,
            (Some("max"), Type::U32) => WarpReduction::MaxUnsigned,
            (Some("min"), Type::S32) => WarpReduction::MinSigned,
            (Some("max"), Type::S32) => WarpReduction::MaxSigned,
            (Some("and"), Type::B32) => WarpReduction::And,
            (Some("or"), Type::B32) => WarpReduction::Or,
            (Some("xor"), Type::B32) => WarpReduction::Xor,
            _ => return Err(self.bad_type("redux", ty)),
        };
        let b = self.source(&operands[1], ty)?;
        let a = self.source(&operands[2], Type::B32)?;
        let d = self.destination(&operands[0], ty)?;
        self.emit(Action::Reduce(reduction), Slots { d, a, b, ..Slots::default() });
        Ok(())
    }
}
