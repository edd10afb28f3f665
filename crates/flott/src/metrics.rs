//! `--metrics ADDR`: counters for Prometheus at `/metrics`.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use flott_connector::{StopSignal, io};
use flott_engine::{Counters, Status};
use flott_types::{Code, Diagnostic, Result};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text::encode},
    metrics::counter::ConstCounter,
    registry::Registry,
};

/// Serves until it is dropped.
pub struct Server {
    done: StopSignal,
    current: Current,
    _thread: io::Thread,
}

type Current = Arc<Mutex<Option<Arc<Counters>>>>;

impl Server {
    /// Serves these counters from now on.
    pub fn watch(&self, counters: Arc<Counters>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(counters);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.done.stop();
    }
}

/// Starts serving.
///
/// # Errors
/// `Arguments` if the address can't be listened on.
pub fn serve(address: SocketAddr) -> Result<Server> {
    let server = tiny_http::Server::http(address).map_err(|error| {
        Diagnostic::error(Code::Arguments, format!("cannot serve metrics at {address}: {error}"))
    })?;
    let (done, current) = (StopSignal::new(), Current::default());
    let (until, shown) = (done.clone(), current.clone());
    let thread = io::spawn("metrics", move || {
        let mut registry = Registry::with_prefix("flott");
        registry.register_collector(Box::new(Exposed { current: shown }));
        while !until.is_stopped() {
            let Ok(Some(request)) = server.recv_timeout(Duration::from_millis(100)) else { continue };
            let found = request.url() == "/metrics";
            let _ = request.respond(answer(found, &registry));
        }
    })?;
    Ok(Server { done, current, _thread: thread })
}

fn answer(found: bool, registry: &Registry) -> tiny_http::Response<std::io::Cursor<Vec<u8>>> {
    let mut body = String::new();
    if !found || encode(&mut body, registry).is_err() {
        return tiny_http::Response::from_string("see /metrics\n").with_status_code(404);
    }
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let response = tiny_http::Response::from_string(body);
    match tiny_http::Header::from_bytes(&b"Content-Type"[..], kind.as_bytes()) {
        Ok(header) => response.with_header(header),
        Err(()) => response,
    }
}

struct Exposed {
    current: Current,
}

impl fmt::Debug for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exposed")
    }
}

impl Collector for Exposed {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(counters) = current else { return Ok(()) };
        let summary = counters.summary(Status::Finished);
        let sources: Vec<_> = summary.sources.iter().map(|s| (vec![("source", s.name.clone())], s)).collect();
        family(
            &mut encoder,
            "read_records",
            "Records read",
            sources.iter().map(|(l, s)| (l.clone(), s.read)),
        )?;
        family(&mut encoder, "read_bytes", "Bytes read", sources.iter().map(|(l, s)| (l.clone(), s.bytes)))?;
        let lag = summary.sources.iter().zip(counters.lag()).flat_map(|(source, lag)| {
            lag.into_iter().map(|it| {
                let labels = vec![("source", source.name.clone()), ("split", it.split.name.clone())];
                (labels, it.records)
            })
        });
        gauges(
            &mut encoder,
            "source_lag_records",
            "Records of a log that are there and aren't read yet",
            lag,
        )?;
        let sinks = summary.sinks.iter().map(|s| (vec![("sink", s.name.clone())], s.written));
        family(&mut encoder, "written_rows", "Rows written", sinks)?;
        let changes = summary.sinks.iter().flat_map(|sink| {
            let counts = sink.changes.map(|it| {
                [("+I", it.inserts), ("-U", it.updates_before), ("+U", it.updates_after), ("-D", it.deletes)]
            });
            counts
                .into_iter()
                .flatten()
                .map(|(kind, count)| (vec![("sink", sink.name.clone()), ("kind", kind.to_string())], count))
        });
        family(&mut encoder, "written_changes", "Rows written by what they do, where some change", changes)?;
        let edges = summary.edges.iter().flat_map(|edge| {
            let outcomes = [
                ("in", edge.input),
                ("out", edge.output),
                ("expanded", edge.expanded),
                ("filtered", edge.filtered),
                ("late", edge.late),
                ("dead_lettered", edge.dead_lettered),
                ("skipped", edge.skipped),
                ("unmatched", edge.unmatched),
                ("earlier", edge.earlier),
            ];
            outcomes.map(|(outcome, count)| {
                let labels = vec![
                    ("from", edge.from.clone()),
                    ("to", edge.to.clone()),
                    ("outcome", outcome.to_string()),
                ];
                (labels, count)
            })
        });
        family(&mut encoder, "edge_rows", "What became of the rows on each edge", edges)?;
        let dead = std::iter::once((Vec::new(), summary.dlq));
        family(&mut encoder, "dead_letters", "Dead letters written", dead)?;
        let state = summary.state.iter().flat_map(|it| {
            [("memory", it.memory), ("disk", it.spilled)].map(|(place, bytes)| {
                (vec![("operator", it.operator.clone()), ("place", place.to_string())], bytes)
            })
        });
        gauges(&mut encoder, "state_bytes", "What operators hold, in memory and put away on disk", state)?;
        let restarts = std::iter::once((Vec::new(), summary.restarts));
        family(&mut encoder, "restarts", "How often the job was taken up anew after a failure", restarts)
    }
}

fn gauges(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl Iterator<Item = (Vec<(&'static str, String)>, u64)>,
) -> Result<(), fmt::Error> {
    use prometheus_client::metrics::{TypedMetric, gauge::ConstGauge};
    let mut metrics = encoder.encode_descriptor(name, help, None, ConstGauge::<i64>::TYPE)?;
    for (labels, value) in values {
        let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        gauge.encode(metrics.encode_family(&labels)?)?;
    }
    Ok(())
}

fn family(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl Iterator<Item = (Vec<(&'static str, String)>, u64)>,
) -> Result<(), fmt::Error> {
    use prometheus_client::metrics::TypedMetric;
    let mut metrics = encoder.encode_descriptor(name, help, None, ConstCounter::<u64>::TYPE)?;
    for (labels, value) in values {
        let counter = ConstCounter::new(value);
        counter.encode(metrics.encode_family(&labels)?)?;
    }
    Ok(())
}
