//! Which connectors and formats this binary has.

use flott_connector::Registry;

/// All of them.
pub fn registry() -> Registry {
    let mut registry = Registry::new();
    for format in flott_formats::all() {
        registry.add_format(format);
    }
    let families = [
        flott_connector_files::all(),
        flott_connector_generators::connectors(),
        flott_connector_console::connectors(),
    ];
    #[cfg(feature = "kafka")]
    let families = families.into_iter().chain([flott_connector_kafka::connectors()]);
    for connector in families.into_iter().flatten() {
        registry.add_connector(connector);
    }
    registry
}
