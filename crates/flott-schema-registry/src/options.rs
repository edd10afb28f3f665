//! The options that say where a registry is and who asks, the same for every format that uses one.

use flott_types::{Code, Diagnostic, OptionValue, Options, Result};

/// Where a registry is and how to talk to it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Settings {
    /// One or more.
    pub(crate) bases: Vec<Base>,
    pub(crate) trust: Option<Store>,
    pub(crate) identity: Option<Store>,
}

/// One of the registry's URLs, without a slash at the end; what is said of who asks there goes nowhere else.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Base {
    pub url: String,
    pub credentials: Credentials,
}

/// Who asks.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Credentials {
    None,
    /// `user:password`
    Basic(String),
    Bearer(String),
}

/// A PEM file, with the password of its key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Store {
    pub path: String,
    pub key: String,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let urls: Vec<&String> = self.bases.iter().map(|base| &base.url).collect();
        f.debug_struct("Settings").field("urls", &urls).finish_non_exhaustive()
    }
}

/// The registry's options with a format's prefix, and the format's own behind them.
#[macro_export]
macro_rules! registry_options {
    ($prefix:literal $(, $more:expr)* $(,)?) => {
        &[
            ::flott_connector::OptionDef::optional(
                concat!($prefix, ".url"), ::flott_connector::OptionKind::Text, "",
                "The URL of the schema registry; several, separated by commas, are tried in turn. Required.",
            ),
            ::flott_connector::OptionDef::optional(
                concat!($prefix, ".schema-registry.url"), ::flott_connector::OptionKind::Text, "",
                "The older name of 'url'.",
            ),
            ::flott_connector::OptionDef::optional(
                concat!($prefix, ".subject"), ::flott_connector::OptionKind::Text, "",
                "The subject that a sink's schema is registered under. With Kafka: the topic's name and '-value' \
                 (or '-key'), unless this says otherwise.",
            ),
            ::flott_connector::OptionDef::optional(
                concat!($prefix, ".schema-registry.subject"), ::flott_connector::OptionKind::Text, "",
                "The older name of 'subject'.",
            ),
            ::flott_connector::OptionDef::optional(
                concat!($prefix, ".auto.register.schemas"), ::flott_connector::OptionKind::Boolean, "true",
                "Whether a sink registers its schema; if not, it must have been registered before.",
            ),
            ::flott_connector::OptionDef::optional(
                concat!($prefix, ".ssl.truststore.location"), ::flott_connector::OptionKind::Text, "",
                "A PEM file of the certificates that the registry's is signed by; without it, those that \
                 Mozilla trusts.",
            ),
            ::flott_connector::OptionDef::optional(
                concat!($prefix, ".ssl.truststore.password"), ::flott_connector::OptionKind::Text, "",
                "Accepted for compatibility; certificates in a PEM file aren't encrypted.",
            ),
            ::flott_connector::OptionDef::optional(
                concat!($prefix, ".ssl.keystore.location"), ::flott_connector::OptionKind::Text, "",
                "A PEM file of this client's private key and certificates.",
            ),
            ::flott_connector::OptionDef::optional(
                concat!($prefix, ".ssl.keystore.password"), ::flott_connector::OptionKind::Text, "",
                "Not supported yet: the key in the PEM file must not be encrypted.",
            ),
            ::flott_connector::OptionDef::optional(
                concat!($prefix, ".basic-auth.credentials-source"),
                ::flott_connector::OptionKind::OneOf(&["USER_INFO", "URL", "SASL_INHERIT"]), "",
                "Where user and password come from: the option 'basic-auth.user-info', or the URL.",
            ),
            ::flott_connector::OptionDef::optional(
                concat!($prefix, ".basic-auth.user-info"), ::flott_connector::OptionKind::Text, "",
                "User and password, with a colon between them.",
            ),
            ::flott_connector::OptionDef::optional(
                concat!($prefix, ".bearer-auth.credentials-source"),
                ::flott_connector::OptionKind::OneOf(&["STATIC_TOKEN", "OAUTHBEARER", "SASL_OAUTHBEARER_INHERIT",
                    "CUSTOM"]), "",
                "Where the token comes from: only 'STATIC_TOKEN', the option 'bearer-auth.token'.",
            ),
            ::flott_connector::OptionDef::optional(
                concat!($prefix, ".bearer-auth.token"), ::flott_connector::OptionKind::Text, "",
                "The token that is sent with each request.",
            ),
            ::flott_connector::OptionDef::optional(
                concat!($prefix, ".properties.*"), ::flott_connector::OptionKind::Text, "",
                "A property of Confluent's client that means the same as one of the options above.",
            ),
            $($more),*
        ]
    };
}

/// What properties of Confluent's client are called here.
const PROPERTIES: &[(&str, &str)] = &[
    ("schema.registry.url", "url"),
    ("auto.register.schemas", "auto.register.schemas"),
    ("basic.auth.credentials.source", "basic-auth.credentials-source"),
    ("basic.auth.user.info", "basic-auth.user-info"),
    ("schema.registry.basic.auth.user.info", "basic-auth.user-info"),
    ("bearer.auth.credentials.source", "bearer-auth.credentials-source"),
    ("bearer.auth.token", "bearer-auth.token"),
    ("schema.registry.ssl.truststore.location", "ssl.truststore.location"),
    ("schema.registry.ssl.truststore.password", "ssl.truststore.password"),
    ("schema.registry.ssl.keystore.location", "ssl.keystore.location"),
    ("schema.registry.ssl.keystore.password", "ssl.keystore.password"),
];

/// An option by its newest name, its older one, or the property that means the same.
fn option<'a>(options: &'a Options, prefix: &str, name: &str) -> Option<(String, &'a OptionValue)> {
    let keys = [format!("{prefix}.{name}"), format!("{prefix}.schema-registry.{name}")].into_iter();
    let properties = PROPERTIES.iter().filter(|(_, known)| *known == name);
    let properties = properties.map(|(property, _)| format!("{prefix}.properties.{property}"));
    keys.chain(properties).find_map(|key| options.entry(&key).map(|value| (key.clone(), value)))
}

impl Settings {
    /// What the options with this prefix (`avro-confluent`) say.
    ///
    /// # Errors
    /// `MissingOption`, `InvalidOption`, `NotSupported`
    pub fn of(options: &Options, prefix: &str) -> Result<Self> {
        check_properties(options, prefix)?;
        let Some((key, url)) = option(options, prefix, "url") else {
            let message = format!("format '{prefix}' needs the option '{prefix}.url'");
            return Err(Diagnostic::error(Code::MissingOption, message)
                .at(options.span("format"))
                .help("the URL of the schema registry, such as http://localhost:8081"));
        };
        let mut bases = Vec::new();
        for text in url.value.split(',').map(str::trim).filter(|text| !text.is_empty()) {
            let (url, user) = base_url(text).ok_or_else(|| {
                let message = format!("option '{key}': expected a URL such as http://localhost:8081");
                Diagnostic::error(Code::InvalidOption, message).at(url.value_span)
            })?;
            bases.push(Base { url, credentials: credentials(options, prefix, user)? });
        }
        if bases.is_empty() {
            let message = format!("option '{key}': expected a URL such as http://localhost:8081");
            return Err(Diagnostic::error(Code::InvalidOption, message).at(url.value_span));
        }
        Ok(Self {
            bases,
            trust: store(options, prefix, "ssl.truststore.location"),
            identity: identity(options, prefix)?,
        })
    }

    /// The subject that a sink's schema is registered under, if an option says so.
    pub fn subject<'a>(options: &'a Options, prefix: &str) -> Option<&'a str> {
        option(options, prefix, "subject").map(|(_, it)| it.value.as_str())
    }

    /// Names the subject of a sink that doesn't, as Confluent's serializers do: `<topic>-key`, `<topic>-value`.
    pub fn complete_subject(options: &mut Options, prefix: &str, topic: &str, is_key: bool) {
        if Self::subject(options, prefix).is_none() {
            let side = if is_key { "key" } else { "value" };
            options.set(format!("{prefix}.subject"), format!("{topic}-{side}"));
        }
    }

    /// Whether a sink registers its schema.
    ///
    /// # Errors
    /// `InvalidOption`
    pub fn registers(options: &Options, prefix: &str) -> Result<bool> {
        match option(options, prefix, "auto.register.schemas") {
            Some((key, _)) => Ok(options.boolean(&key)?.unwrap_or(true)),
            None => Ok(true),
        }
    }
}

fn check_properties(options: &Options, prefix: &str) -> Result<()> {
    let start = format!("{prefix}.properties.");
    for (key, value) in options.iter() {
        let Some(property) = key.strip_prefix(&start) else { continue };
        if !PROPERTIES.iter().any(|(known, _)| *known == property) {
            return Err(Diagnostic::not_supported(format!("the schema registry's property '{property}'"))
                .at(value.key_span)
                .help(format!("`flott list formats {prefix}` shows the options that there are")));
        }
    }
    Ok(())
}

/// The URL without user, password and last slash; and user and password.
fn base_url(text: &str) -> Option<(String, Option<String>)> {
    let (scheme, rest) = text.split_once("://")?;
    if !matches!(scheme, "http" | "https") {
        return None;
    }
    let rest = rest.trim_end_matches('/');
    let (user, rest) = match rest.rsplit_once('@') {
        Some((user, rest)) => (Some(user.to_string()), rest),
        None => (None, rest),
    };
    (!rest.is_empty()).then(|| (format!("{scheme}://{rest}"), user))
}

fn credentials(options: &Options, prefix: &str, in_url: Option<String>) -> Result<Credentials> {
    if let Some((key, value)) = option(options, prefix, "bearer-auth.credentials-source")
        && !value.value.eq_ignore_ascii_case("STATIC_TOKEN")
    {
        return Err(Diagnostic::not_supported(format!("'{key}' = '{}'", value.value))
            .at(value.value_span)
            .help("use 'STATIC_TOKEN' and the option 'bearer-auth.token'"));
    }
    if let Some((_, token)) = option(options, prefix, "bearer-auth.token") {
        return Ok(Credentials::Bearer(token.value.trim().to_string()));
    }
    let source = option(options, prefix, "basic-auth.credentials-source");
    if let Some((key, value)) = &source
        && value.value.eq_ignore_ascii_case("SASL_INHERIT")
    {
        return Err(Diagnostic::not_supported(format!("'{key}' = 'SASL_INHERIT'"))
            .at(value.value_span)
            .help("use 'USER_INFO' and the option 'basic-auth.user-info'"));
    }
    let user_info = option(options, prefix, "basic-auth.user-info").map(|(_, it)| it.value.clone());
    let from_url = source.is_some_and(|(_, it)| it.value.eq_ignore_ascii_case("URL"));
    let chosen = if from_url { in_url } else { user_info.or(in_url) };
    Ok(chosen.map_or(Credentials::None, Credentials::Basic))
}

fn store(options: &Options, prefix: &str, name: &str) -> Option<Store> {
    let (key, value) = option(options, prefix, name)?;
    Some(Store { path: value.value.clone(), key })
}

fn identity(options: &Options, prefix: &str) -> Result<Option<Store>> {
    let identity = store(options, prefix, "ssl.keystore.location");
    if let Some((key, value)) = option(options, prefix, "ssl.keystore.password")
        && !value.value.is_empty()
    {
        return Err(Diagnostic::not_supported(format!("'{key}', keys that are encrypted"))
            .at(value.key_span)
            .help("decrypt the key with `openssl pkey`, and protect the file by its rights"));
    }
    Ok(identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(options: &[(&str, &str)]) -> Result<Settings> {
        let mut all = Options::new();
        options.iter().for_each(|(key, value)| all.set(format!("avro-confluent.{key}"), *value));
        Settings::of(&all, "avro-confluent")
    }

    #[test]
    fn urls_and_who_asks() {
        let found = |options: &[(&str, &str)]| -> Vec<(String, Credentials)> {
            let bases = settings(options).unwrap().bases.into_iter();
            bases.map(|base| (base.url, base.credentials)).collect()
        };
        let basic = |user: &str| Credentials::Basic(user.into());
        let several = ("url", "http://a:8081/, https://u:p@b/api, http://v:q@c");
        let urls = ["http://a:8081", "https://b/api", "http://c"].map(str::to_string);
        // What stands in a URL is for this one alone.
        let own = [Credentials::None, basic("u:p"), basic("v:q")];
        assert!(found(&[several]).into_iter().eq(urls.clone().into_iter().zip(own)));
        let all = found(&[several, ("basic-auth.user-info", "x:y")]);
        assert!(all.iter().all(|(_, it)| *it == basic("x:y")));
        let older = settings(&[("schema-registry.url", "http://a"), ("bearer-auth.token", "t")]).unwrap();
        assert!(older.bases[0].credentials == Credentials::Bearer("t".into()));
        let property = [("url", "http://a"), ("properties.basic.auth.user.info", "x:y")];
        assert!(found(&property)[0].1 == basic("x:y"));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let code = |options: &[(&str, &str)]| settings(options).unwrap_err().code;
        assert_eq!(code(&[]), Code::MissingOption);
        assert_eq!(code(&[("url", "localhost:8081")]), Code::InvalidOption);
        let url = ("url", "http://a");
        assert_eq!(code(&[url, ("properties.use.latest.version", "true")]), Code::NotSupported);
        assert_eq!(code(&[url, ("basic-auth.credentials-source", "SASL_INHERIT")]), Code::NotSupported);
        assert_eq!(code(&[url, ("ssl.keystore.password", "secret")]), Code::NotSupported);
    }
}
