//! The few requests of Kafka's protocol that tests need beside the client under test.
//!
//! ```text
//!   ┌ length:4 ┐┌ key:2 version:2 correlation:4 client:string ┐┌ body ┐      request
//!   ┌ length:4 ┐┌ correlation:4 ┐┌ body ┐                                   answer
//! ```
//!
//! Old versions of the requests, which have no tagged fields; a broker of any age since 1.0 knows them.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::Duration,
};

/// How long a broker may take for an answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The largest answer that is read.
const LARGEST: usize = 64 << 20;

/// Kinds of requests, by their API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i16)]
#[allow(missing_docs, reason = "the protocol's names")]
pub enum Request {
    Produce = 0,
    Fetch = 1,
    ListOffsets = 2,
    Metadata = 3,
    OffsetCommit = 8,
    FindCoordinator = 10,
    JoinGroup = 11,
    Heartbeat = 12,
    ApiVersions = 18,
    CreateTopics = 19,
    DeleteTopics = 20,
    DeleteRecords = 21,
    InitProducerId = 22,
    AddPartitionsToTransaction = 24,
    AddOffsetsToTransaction = 25,
    EndTransaction = 26,
    TransactionalOffsetCommit = 28,
    CreatePartitions = 37,
}

/// A broker of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub id: i32,
    /// `host:port`.
    pub address: String,
}

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its number.
    pub number: i32,
    /// The broker that leads it; -1: none.
    pub leader: i32,
    /// The brokers that have all of it.
    pub in_sync: Vec<i32>,
}

/// What a broker knows about its cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The brokers that live.
    pub nodes: Vec<Node>,
    /// The topics asked for that exist, with their partitions.
    pub topics: Vec<(String, Vec<Partition>)>,
}

/// A connection with a broker's listener without encryption.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    correlation: i32,
}

impl Client {
    /// Connects with `host:port`.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn connect(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, correlation: 0 })
    }

    /// Asks for brokers and these topics.
    ///
    /// # Errors
    /// The broker doesn't answer.
    pub fn metadata(&mut self, topics: &[&str]) -> io::Result<Metadata> {
        let mut body = Body::default();
        body.array(topics, |body, topic| body.string(topic));
        // Asking must not make topics.
        body.bytes.push(0);
        let mut answer = self.ask(Request::Metadata, 4, &body)?;
        answer.int32()?;
        let nodes = answer.array(|it| {
            let (id, host, port) = (it.int32()?, it.string()?, it.int32()?);
            it.string()?;
            Ok(Node { id, address: format!("{host}:{port}") })
        })?;
        answer.string()?;
        answer.int32()?;
        let topics = answer.array(|it| {
            let (error, name) = (it.int16()?, it.string()?);
            it.take::<1>()?;
            Ok((error, name, it.array(Answer::partition)?))
        })?;
        let topics = topics.into_iter().filter(|it| it.0 == 0).map(|(_, name, it)| (name, it)).collect();
        Ok(Metadata { nodes, topics })
    }

    /// Makes a topic; brokers may learn of it a little later.
    ///
    /// # Errors
    /// The broker refuses.
    pub fn create_topic(
        &mut self,
        name: &str,
        partitions: i32,
        replicas: i16,
        configuration: &[(&str, &str)],
    ) -> io::Result<()> {
        let mut body = Body::default();
        body.array(&[name], |body, name| {
            body.string(name);
            body.int32(partitions);
            body.int16(replicas);
            body.int32(0);
            body.array(configuration, |body, (key, value)| {
                body.string(key);
                body.string(value);
            });
        });
        body.int32(30_000);
        body.bytes.push(0);
        let mut answer = self.ask(Request::CreateTopics, 2, &body)?;
        answer.int32()?;
        answer.results(|it| {
            let (_, error, message) = (it.string()?, it.int16()?, it.string()?);
            Ok((error, message))
        })
    }

    /// Removes a topic; brokers may learn of it a little later.
    ///
    /// # Errors
    /// The broker refuses.
    pub fn delete_topic(&mut self, name: &str) -> io::Result<()> {
        let mut body = Body::default();
        body.array(&[name], |body, name| body.string(name));
        body.int32(30_000);
        let mut answer = self.ask(Request::DeleteTopics, 1, &body)?;
        answer.int32()?;
        answer.results(|it| Ok((it.string()?, it.int16()?)).map(|(name, error)| (error, name)))
    }

    /// Gives a topic more partitions, so many in all.
    ///
    /// # Errors
    /// The broker refuses.
    pub fn create_partitions(&mut self, name: &str, partitions: i32) -> io::Result<()> {
        let mut body = Body::default();
        body.array(&[name], |body, name| {
            body.string(name);
            body.int32(partitions);
            // Brokers choose where the replicas lie.
            body.int32(-1);
        });
        body.int32(30_000);
        body.bytes.push(0);
        let mut answer = self.ask(Request::CreatePartitions, 0, &body)?;
        answer.int32()?;
        answer.results(|it| {
            let (_, error, message) = (it.string()?, it.int16()?, it.string()?);
            Ok((error, message))
        })
    }

    /// Removes the records of a partition before that offset, as retention does; asks its leader.
    ///
    /// # Errors
    /// The broker refuses.
    pub fn delete_records(&mut self, topic: &str, partition: i32, before: i64) -> io::Result<()> {
        let mut body = Body::default();
        body.array(&[topic], |body, topic| {
            body.string(topic);
            body.array(&[partition], |body, partition| {
                body.int32(*partition);
                body.bytes.extend(before.to_be_bytes());
            });
        });
        body.int32(30_000);
        let mut answer = self.ask(Request::DeleteRecords, 0, &body)?;
        answer.int32()?;
        answer.array(|it| {
            it.string()?;
            it.results(|it| {
                it.take::<12>()?;
                Ok((it.int16()?, String::new()))
            })
        })?;
        Ok(())
    }

    fn ask(&mut self, request: Request, version: i16, body: &Body) -> io::Result<Answer> {
        self.correlation = self.correlation.wrapping_add(1);
        let mut header = Body::default();
        header.int16(request as i16);
        header.int16(version);
        header.int32(self.correlation);
        header.string("flott-testkit");
        let length = i32::try_from(header.bytes.len() + body.bytes.len()).map_err(io::Error::other)?;
        self.stream.write_all(&[&length.to_be_bytes()[..], &header.bytes, &body.bytes].concat())?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let length = usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?;
        if length > LARGEST {
            return Err(io::Error::other("this is no broker"));
        }
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes)?;
        let mut answer = Answer { bytes, at: 0 };
        if answer.int32()? == self.correlation { Ok(answer) } else { Err(io::Error::other("not my answer")) }
    }
}

#[derive(Default)]
struct Body {
    bytes: Vec<u8>,
}

impl Body {
    fn int16(&mut self, value: i16) {
        self.bytes.extend(value.to_be_bytes());
    }
    fn int32(&mut self, value: i32) {
        self.bytes.extend(value.to_be_bytes());
    }
    fn string(&mut self, value: &str) {
        self.int16(i16::try_from(value.len()).unwrap_or_default());
        self.bytes.extend(value.as_bytes());
    }
    fn array<T>(&mut self, values: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.int32(i32::try_from(values.len()).unwrap_or_default());
        values.iter().for_each(|it| each(self, it));
    }
}

struct Answer {
    bytes: Vec<u8>,
    at: usize,
}

impl Answer {
    fn slice(&mut self, length: usize) -> io::Result<&[u8]> {
        let end = self.at.saturating_add(length);
        let slice = self.bytes.get(self.at..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.at = end;
        Ok(slice)
    }
    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        self.slice(N)?.try_into().map_err(io::Error::other)
    }
    fn int16(&mut self) -> io::Result<i16> {
        Ok(i16::from_be_bytes(self.take()?))
    }
    fn int32(&mut self) -> io::Result<i32> {
        Ok(i32::from_be_bytes(self.take()?))
    }
    /// A string; none is empty.
    fn string(&mut self) -> io::Result<String> {
        let length = usize::try_from(self.int16()?).unwrap_or_default();
        Ok(String::from_utf8_lossy(self.slice(length)?).into_owned())
    }
    fn array<T>(&mut self, mut each: impl FnMut(&mut Self) -> io::Result<T>) -> io::Result<Vec<T>> {
        (0..self.int32()?).map(|_| each(self)).collect()
    }
    fn partition(&mut self) -> io::Result<Partition> {
        self.int16()?;
        let (number, leader) = (self.int32()?, self.int32()?);
        self.array(Self::int32)?;
        Ok(Partition { number, leader, in_sync: self.array(Self::int32)? })
    }
    /// Results of parts of a request: the first error counts.
    fn results(&mut self, each: impl FnMut(&mut Self) -> io::Result<(i16, String)>) -> io::Result<()> {
        match self.array(each)?.into_iter().find(|it| it.0 != 0) {
            None => Ok(()),
            Some((error, message)) => Err(io::Error::other(format!("Kafka's error {error}: {message}"))),
        }
    }
}
