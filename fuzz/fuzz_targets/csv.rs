//! Messages of the format `csv`.

#![no_main]

flott_fuzz::target!("csv");
