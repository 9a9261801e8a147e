//! Tests meshes: their text, who reaches whom, signatures, and which edition is taken.

mod pki;
mod reach;
mod signed;
mod signers;
mod sizes;
mod takes;
mod text;
