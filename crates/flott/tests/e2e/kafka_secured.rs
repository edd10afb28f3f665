//! Brokers that want proof, asked for it as Flink's scripts give it: from topic to topic, exactly once.
//!
//! ```text
//!   properties.security.protocol, sasl.mechanism, sasl.jaas.config, ssl.truststore.*, ssl.keystore.*
//!     ─► every client of the job: reader, producer, who asks for settings, who reads the topic of tokens
//! ```

use std::{fs, path::Path};

use flott_testkit::{
    Outcome, need,
    services::{
        self,
        secured::{CLIENT, PASSWORD, SECRET, Secured, USER},
    },
};

use crate::{
    support::{Lab, summary_of},
    topics,
};

/// A way to be let in: its name, the brokers' addresses, what stands in `WITH`.
struct Way {
    name: &'static str,
    bootstrap: String,
    options: String,
}

const LOGIN: &str = "org.apache.kafka.common.security";

fn password(module: &str) -> String {
    format!(
        "'properties.sasl.jaas.config' = '{LOGIN}.{module} required username=\"{USER}\" \
         password=\"${{env:KAFKA_PASSWORD}}\";'"
    )
}

fn trust(secured: &Secured) -> String {
    let authority = secured.certificates().authority.display();
    format!("'properties.ssl.truststore.type' = 'PEM', 'properties.ssl.truststore.location' = '{authority}'")
}

fn sasl(protocol: &str, mechanism: &str, how: &str) -> String {
    format!(
        "'properties.security.protocol' = '{protocol}', 'properties.sasl.mechanism' = '{mechanism}', {how}"
    )
}

/// As Java wants it: the key and its certificate in one file.
fn keystore(lab: &Lab, secured: &Secured) -> String {
    let files = secured.certificates();
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    lab.write("client.pem", read(&files.client_key) + &read(&files.client));
    "'properties.ssl.keystore.type' = 'PEM', 'properties.ssl.keystore.location' = 'client.pem'".into()
}

fn ways(lab: &Lab, secured: &Secured) -> Vec<Way> {
    let trust = trust(secured);
    let tls = format!("'properties.security.protocol' = 'SSL', {trust}");
    let (plain, scram) = (password("plain.PlainLoginModule"), password("scram.ScramLoginModule"));
    let token = format!(
        "'properties.sasl.login.callback.handler.class' = '{LOGIN}.oauthbearer.OAuthBearerLoginCallbackHandler',
         'properties.sasl.oauthbearer.token.endpoint.url' = '{}',
         'properties.sasl.jaas.config' = '{LOGIN}.oauthbearer.OAuthBearerLoginModule required \
         clientId=\"{CLIENT}\" clientSecret=\"{SECRET}\" scope=\"kafka\";'",
        secured.token_endpoint()
    );
    let way = |name, bootstrap: String, options: String| Way { name, bootstrap, options };
    vec![
        way("tls", secured.tls(), tls.clone()),
        way("mutual-tls", secured.mutual_tls(), format!("{tls}, {}", keystore(lab, secured))),
        way("plain", secured.sasl(), sasl("SASL_PLAINTEXT", "PLAIN", &plain)),
        way("plain-tls", secured.sasl_tls(), sasl("SASL_SSL", "PLAIN", &plain) + ", " + &trust),
        way("scram-256", secured.sasl(), sasl("SASL_PLAINTEXT", "SCRAM-SHA-256", &scram)),
        way("scram-512-tls", secured.sasl_tls(), sasl("SASL_SSL", "SCRAM-SHA-512", &scram) + ", " + &trust),
        way("token", secured.sasl(), sasl("SASL_PLAINTEXT", "OAUTHBEARER", &token)),
        way("token-tls", secured.sasl_tls(), sasl("SASL_SSL", "OAUTHBEARER", &token) + ", " + &trust),
    ]
}

/// From topic to topic, exactly once.
fn job(Way { name, bootstrap, options }: &Way) -> String {
    format!(
        "SET 'execution.checkpointing.dir' = 'ckpt'; SET 'pipeline.name' = '{name}';
         SET 'parallelism.default' = '1';
         CREATE TABLE k_in (x STRING) WITH ('connector' = 'kafka', 'topic' = 'proof-in', 'format' = 'raw',
           'properties.bootstrap.servers' = '{bootstrap}', 'properties.group.id' = '{name}',
           'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset', {options});
         CREATE TABLE k_out (x STRING) WITH ('connector' = 'kafka', 'topic' = 'proof-out', 'format' = 'raw',
           'properties.bootstrap.servers' = '{bootstrap}', 'sink.delivery-guarantee' = 'exactly-once',
           'sink.transactional-id-prefix' = 'proof', {options});
         INSERT INTO k_out SELECT '{name} ' || x FROM k_in"
    )
}

fn run(lab: &Lab, sql: &str, password: &str) -> Outcome {
    lab.flott.command(["run", "--json", "-e", sql]).env("KAFKA_PASSWORD", password).output().unwrap().into()
}

#[test]
fn a_script_of_flinks_proves_itself_in_every_way() {
    let secured = need!(services::secured());
    let lab = Lab::new();
    let broker = secured.broker();
    for topic in ["proof-in", "proof-out"] {
        broker.create_topic(topic, 2).unwrap();
    }
    broker.produce("proof-in", &["a", "b"]).unwrap();
    let ways = ways(&lab, secured);
    for way in &ways {
        let outcome = run(&lab, &job(way), PASSWORD);
        assert_eq!(summary_of(&outcome)["sinks"][0]["written"], 2, "{}: {}", way.name, outcome.stderr);
    }
    let mut lines = topics::lines(broker, "proof-out");
    lines.sort();
    let mut expected: Vec<String> =
        ways.iter().flat_map(|it| [format!("{} a", it.name), format!("{} b", it.name)]).collect();
    expected.sort();
    assert_eq!(lines, expected);
}

#[test]
fn who_is_not_let_in_is_told_why() {
    let secured = need!(services::secured());
    let lab = Lab::new();
    let ways = ways(&lab, secured);
    let refused = |name: &str, change: &dyn Fn(&Way) -> Way, words: &[&str]| {
        let way = change(ways.iter().find(|it| it.name == name).unwrap());
        let outcome = run(&lab, &job(&way), "not-the-password");
        assert_eq!(outcome.status, Some(1), "{name}: {}", outcome.stderr);
        for part in words {
            assert!(outcome.stderr.contains(part), "{name}: no {part} in {}", outcome.stderr);
        }
        assert!(!outcome.stderr.contains("not-the-password"), "{}", outcome.stderr);
    };
    let same = |way: &Way| Way { options: way.options.clone(), bootstrap: way.bootstrap.clone(), ..*way };
    refused("plain", &same, &["FLT-2203", "properties.sasl"]);
    refused(
        "token",
        &|way| Way { options: way.options.replace(SECRET, "not-the-secret"), ..same(way) },
        &["FLT-2203", "gives no token: it answers with status 401", "properties.sasl"],
    );
}
