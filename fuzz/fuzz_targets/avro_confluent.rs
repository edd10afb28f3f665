//! Messages of the format `avro-confluent`.

#![no_main]

flott_fuzz::target!("avro-confluent");
