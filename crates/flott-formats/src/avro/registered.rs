//! Schemas that messages name by their id in a registry.
//!
//! ```text
//!   0 │ id: 4 bytes, the most significant first │ record in the schema of this id
//! ```

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, DefaultHasher},
    sync::Arc,
};

use flott_schema_registry::{Fault, Kind, Reference, Registered, Registry};
use flott_types::{Field, Result};

use super::{decoder::Prepared, schema::Schema};

/// Before each record.
pub(super) const HEAD_BYTES: usize = 5;
/// Schemas that need others, that need others, …
const REFERENCES_DEEP: usize = 16;

/// The id that a message names, and where its record begins.
///
/// # Errors
/// It doesn't begin as it should.
pub(super) fn id_of(message: &[u8]) -> Result<u32, String> {
    match message.first_chunk::<HEAD_BYTES>() {
        Some([0, id @ ..]) => Ok(u32::from_be_bytes(*id)),
        Some([first, ..]) => Err(format!("it begins with {first} instead of 0 and the id of a schema")),
        None => Err(format!("{} bytes are too few for the id of a schema", message.len())),
    }
}

/// What a message begins with.
pub(super) fn head(id: u32) -> [u8; HEAD_BYTES] {
    let [a, b, c, d] = id.to_be_bytes();
    [0, a, b, c, d]
}

type Map<V> = HashMap<u32, V, BuildHasherDefault<DefaultHasher>>;

/// The plans for the ids met so far. Every shard has its own; the registry's answers they share.
pub(super) struct Plans {
    registry: Arc<Registry>,
    reader: Option<Arc<Schema>>,
    known: Map<std::result::Result<Arc<Prepared>, String>>,
    last: Option<(u32, Arc<Prepared>)>,
}

impl Plans {
    pub fn new(registry: Arc<Registry>, reader: Option<Arc<Schema>>) -> Self {
        Self { registry, reader, known: Map::default(), last: None }
    }

    /// The plan for records of this id; the inner error is the record's.
    ///
    /// # Errors
    /// The registry doesn't answer.
    #[inline]
    pub fn get(&mut self, id: u32, columns: &[Field]) -> Result<std::result::Result<&Prepared, String>> {
        if self.last.as_ref().is_none_or(|(last, _)| *last != id) {
            match self.find(id, columns)? {
                Ok(prepared) => self.last = Some((id, prepared)),
                Err(why) => return Ok(Err(why)),
            }
        }
        Ok(self.last.as_ref().map(|(_, prepared)| prepared.as_ref()).ok_or_else(String::new))
    }

    #[cold]
    fn find(&mut self, id: u32, columns: &[Field]) -> Result<std::result::Result<Arc<Prepared>, String>> {
        if let Some(known) = self.known.get(&id) {
            return Ok(known.clone());
        }
        let fetched = match self.fetch(id) {
            Ok(fetched) => fetched,
            // It may be there later.
            Err(Fault::Unknown(why)) => return Ok(Err(why)),
            Err(Fault::Failed(error)) => return Err(error),
        };
        let prepared = fetched
            .and_then(|schema| Prepared::new(schema, columns, self.reader.as_ref()))
            .map(Arc::new)
            .map_err(|why| format!("schema {id} of the registry: {why}"));
        self.known.insert(id, prepared.clone());
        Ok(prepared)
    }

    fn fetch(&self, id: u32) -> std::result::Result<Result<Schema, String>, Fault> {
        let registered = self.registry.schema(id)?;
        if registered.kind != Kind::Avro {
            return Ok(Err(format!("it is of the kind {}, not AVRO", registered.kind.name())));
        }
        let mut others = Vec::new();
        self.collect(&registered, &mut others, 0)?;
        let texts: Vec<String> = others.into_iter().map(|(_, text)| text).collect();
        Ok(Schema::parse_with(&texts, &registered.text))
    }

    /// What a schema needs, each before those that need it.
    fn collect(
        &self,
        schema: &Registered,
        into: &mut Vec<(Reference, String)>,
        depth: usize,
    ) -> std::result::Result<(), Fault> {
        if depth >= REFERENCES_DEEP {
            return Ok(());
        }
        for reference in &schema.references {
            if into.iter().any(|(known, _)| known == reference) {
                continue;
            }
            let inner = self.registry.version(&reference.subject, reference.version)?;
            self.collect(&inner, into, depth + 1)?;
            into.push((reference.clone(), inner.text.clone()));
        }
        Ok(())
    }
}
