//! Signature algorithms for targets that bring no provider of their own.
