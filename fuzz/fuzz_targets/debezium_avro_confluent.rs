//! Messages of the format `debezium-avro-confluent`.

#![no_main]

flott_fuzz::target!("debezium-avro-confluent");
