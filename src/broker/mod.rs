//! The use case: one Graph operation, from a caller to an answer.
