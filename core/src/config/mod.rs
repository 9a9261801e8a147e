//! The configuration of ADR-001, typed and validated.
