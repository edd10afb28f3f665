//! Messages of the format `debezium-json`.

#![no_main]

flott_fuzz::target!("debezium-json");
