//! The servers start, answer, and are disturbed: through clients that aren't ours.

use std::time::Duration;

use flott_testkit::{
    need,
    services::{self, Broker, Cluster, Proxy, Registry, proxy::Moment, wire::Request},
};

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn a_broker_is_shared_and_keeps_topics() {
    let kafka = need!(services::kafka());
    kafka.create_topic("shared", 2).unwrap();
    assert_eq!(kafka.partitions("shared").unwrap().unwrap().len(), 2);
    kafka.produce("shared", &["one", "two"]).unwrap();
    let mut read = kafka.consume("shared", 2, PATIENCE).unwrap();
    read.sort();
    assert_eq!(read, ["one", "two"]);
    assert_eq!(need!(services::kafka()).bootstrap(), kafka.bootstrap());

    kafka.create_partitions("shared", 3).unwrap();
    assert_eq!(kafka.partitions("shared").unwrap().unwrap().len(), 3);
    kafka.create_topic("short", 1).unwrap();
    kafka.produce("short", &["one", "two", "three"]).unwrap();
    kafka.delete_records("short", 0, 2).unwrap();
    assert_eq!(kafka.consume("short", 1, PATIENCE).unwrap(), ["three"]);
    kafka.delete_topic("short").unwrap();
    assert_eq!(kafka.partitions("short").unwrap(), None);
}

#[test]
fn a_broker_comes_back_with_its_data() {
    let mut broker = need!(Broker::start(&services::kafka::Settings::default()));
    broker.create_topic("kept", 1).unwrap();
    broker.produce("kept", &["before"]).unwrap();
    broker.server_mut().kill();
    assert!(broker.client().is_err());
    broker.server_mut().restart().unwrap();
    broker.server_mut().stop();
    broker.server_mut().restart().unwrap();
    assert_eq!(broker.consume("kept", 1, PATIENCE).unwrap(), ["before"]);
}

#[test]
fn a_cluster_goes_on_without_a_leader() {
    let mut cluster = need!(Cluster::start(3));
    let topic = ("replicated", [("min.insync.replicas", "2")]);
    cluster.brokers()[0].create_topic_with(topic.0, 1, 3, &topic.1).unwrap();
    let leader = cluster.leader(topic.0, 0).unwrap().unwrap();
    leader.produce(topic.0, &["one"]).unwrap();
    leader.server_mut().kill();
    let gone = leader.node();
    let next = cluster.any().unwrap();
    assert_ne!(next.node(), gone);
    next.produce(topic.0, &["two"]).unwrap();
    assert_eq!(next.consume(topic.0, 2, PATIENCE).unwrap(), ["one", "two"]);
    cluster.broker(gone).unwrap().server_mut().restart().unwrap();
}

#[test]
fn a_broker_behind_a_proxy_is_reached_through_it_alone() {
    let proxy = need!(Proxy::start());
    let broker = need!(Broker::behind(&proxy));
    assert_eq!(broker.bootstrap(), proxy.address());
    broker.create_topic("far", 1).unwrap();
    broker.produce("far", &["one"]).unwrap();
    assert!(proxy.requests(Request::Produce) >= 1);
    // The broker has the message, and the client never knows: its next try is seen as the same one.
    proxy.cut_at(Moment::BeforeAnswer(Request::Produce));
    let produced = std::thread::scope(|scope| {
        let producing = scope.spawn(|| broker.produce("far", &["two"]));
        assert!(proxy.wait_for_cut(PATIENCE));
        proxy.heal();
        producing.join().unwrap()
    });
    produced.unwrap();
    assert_eq!(broker.consume("far", 3, Duration::from_secs(3)).unwrap(), ["one", "two"]);
}

#[test]
fn a_registry_knows_subjects() {
    let registry = need!(services::registry());
    assert!(registry.url().starts_with("http://127.0.0.1:"));
    let mut own = need!(Registry::start());
    own.server_mut().stop();
}
