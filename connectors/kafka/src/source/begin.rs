//! Where a job that starts from nothing begins in each partition, and where it ends.

use flott_types::{Code, Diagnostic, Result};

use super::{
    cluster::{Cluster, Partition, Place},
    position::SplitPlace,
};
use crate::options::{
    BOUNDED_OFFSETS, STARTUP_OFFSETS,
    scan::{Bounded, Reset, ScanSettings, Startup},
};

/// The places of all partitions that are there.
///
/// # Errors
/// `InputMissing`, `InputUnreadable`
pub(crate) fn places(cluster: &Cluster<'_>, settings: &ScanSettings) -> Result<Vec<SplitPlace>> {
    let mut partitions = cluster.partitions(&settings.topics)?;
    if let Some(error) = absent(settings, &partitions) {
        return Err(error);
    }
    if let Bounded::Offsets(ends) = &settings.bounded {
        partitions.retain(|(_, partition)| ends.contains_key(partition));
    }
    let starts = starts(cluster, settings, &partitions)?;
    let ends = ends(cluster, settings, &partitions)?;
    if !settings.continue_when_lost
        && let Some(error) = begins_beyond(settings, &partitions, &starts, &ends)
    {
        return Err(error);
    }
    let places = partitions.into_iter().zip(starts).zip(ends).enumerate();
    let place = |(number, (((topic, partition), next), end))| SplitPlace {
        topic,
        partition,
        number: u32::try_from(number).unwrap_or(u32::MAX),
        next,
        end,
    };
    Ok(places.map(place).collect())
}

/// That offsets are named of a partition that isn't there.
pub(crate) fn absent(settings: &ScanSettings, partitions: &[Partition]) -> Option<Box<Diagnostic>> {
    let startup = match &settings.startup {
        Startup::Offsets(offsets) => Some((STARTUP_OFFSETS, offsets)),
        _ => None,
    };
    let bounded = match &settings.bounded {
        Bounded::Offsets(offsets) => Some((BOUNDED_OFFSETS, offsets)),
        _ => None,
    };
    let is_there = |partition: &i32| partitions.iter().any(|(_, it)| it == partition);
    startup.into_iter().chain(bounded).find_map(|(option, offsets)| {
        let partition = offsets.keys().find(|it| !is_there(it))?;
        let topic = partitions.first().map(|(topic, _)| topic.as_str())?;
        let message = format!(
            "option '{option}' names partition {partition}, but topic '{topic}' has {} partitions: they begin with 0",
            partitions.len()
        );
        Some(Diagnostic::error(Code::InvalidOption, message).that_lasts().help("name the partitions that are there"))
    })
}

/// That a partition is to be read from an offset on that it doesn't have yet, but ends before: no row would come.
fn begins_beyond(
    settings: &ScanSettings,
    partitions: &[Partition],
    starts: &[i64],
    ends: &[Option<i64>],
) -> Option<Box<Diagnostic>> {
    let (Startup::Offsets(offsets), Bounded::Latest) = (&settings.startup, &settings.bounded) else {
        return None;
    };
    partitions.iter().zip(starts).zip(ends).find_map(|(((topic, partition), start), end)| {
        let end = end.filter(|end| start > end && offsets.contains_key(partition))?;
        let (message, help) = no_such_start(&format!("{topic}[{partition}]"), end, *start);
        Some(Diagnostic::error(Code::InputMissing, message).that_lasts().help(help))
    })
}

/// What is said of an offset to begin at behind the end, and what to do.
pub(crate) fn no_such_start(name: &str, end: i64, wanted: i64) -> (String, &'static str) {
    (
        format!("'{name}' ends at offset {end}: it has no offset {wanted} to begin at"),
        "check 'scan.startup.specific-offsets', and that it is the topic meant",
    )
}

/// The beginnings of partitions, for those that come later.
///
/// # Errors
/// `InputUnreadable`
pub(crate) fn earliest(cluster: &Cluster<'_>, partitions: &[Partition]) -> Result<Vec<i64>> {
    Ok(cluster.offsets(partitions, Place::Earliest)?.into_iter().map(|it| it.unwrap_or(0)).collect())
}

fn latest(cluster: &Cluster<'_>, partitions: &[Partition]) -> Result<Vec<i64>> {
    Ok(cluster.offsets(partitions, Place::Latest)?.into_iter().map(|it| it.unwrap_or(0)).collect())
}

fn starts(cluster: &Cluster<'_>, settings: &ScanSettings, partitions: &[Partition]) -> Result<Vec<i64>> {
    match &settings.startup {
        Startup::Earliest => earliest(cluster, partitions),
        Startup::Latest => latest(cluster, partitions),
        Startup::Timestamp(millis) => at_or_end(cluster, partitions, *millis),
        Startup::Group(reset) => {
            let known = committed(cluster, settings, partitions)?;
            fill(known, partitions, |missing| match reset {
                Reset::Earliest => earliest(cluster, missing),
                Reset::Latest => latest(cluster, missing),
                Reset::Fail => Err(no_group_offset(settings, missing, Role::Begin)),
            })
        }
        Startup::Offsets(offsets) => {
            let named = |(_, partition): &Partition| offsets.get(partition).copied();
            fill(partitions.iter().map(named).collect(), partitions, |missing| {
                fill(committed(cluster, settings, missing)?, missing, |missing| earliest(cluster, missing))
            })
        }
    }
}

/// Where these partitions end for a bounded table, as it stands now.
///
/// # Errors
/// `InputUnreadable`
pub(crate) fn ends(
    cluster: &Cluster<'_>,
    settings: &ScanSettings,
    partitions: &[Partition],
) -> Result<Vec<Option<i64>>> {
    let all = |ends: Vec<i64>| ends.into_iter().map(Some).collect();
    Ok(match &settings.bounded {
        Bounded::Never => vec![None; partitions.len()],
        Bounded::Latest => all(latest(cluster, partitions)?),
        Bounded::Timestamp(millis) => all(at_or_end(cluster, partitions, *millis)?),
        Bounded::Offsets(ends) => {
            partitions.iter().map(|(_, partition)| ends.get(partition).copied()).collect()
        }
        Bounded::Group => {
            let known = committed(cluster, settings, partitions)?;
            all(fill(known, partitions, |missing| Err(no_group_offset(settings, missing, Role::End)))?)
        }
    })
}

/// The first message of this time; the end, if there is none.
fn at_or_end(cluster: &Cluster<'_>, partitions: &[Partition], millis: i64) -> Result<Vec<i64>> {
    let known = cluster.offsets(partitions, Place::Time(millis))?;
    fill(known, partitions, |missing| latest(cluster, missing))
}

fn committed(
    cluster: &Cluster<'_>,
    settings: &ScanSettings,
    partitions: &[Partition],
) -> Result<Vec<Option<i64>>> {
    match settings.group {
        Some(_) => cluster.committed(partitions),
        None => Ok(vec![None; partitions.len()]),
    }
}

/// Asks for those that are missing.
fn fill(
    known: Vec<Option<i64>>,
    partitions: &[Partition],
    ask: impl FnOnce(&[Partition]) -> Result<Vec<i64>>,
) -> Result<Vec<i64>> {
    let missing: Vec<Partition> =
        partitions.iter().zip(&known).filter(|(_, it)| it.is_none()).map(|(it, _)| it.clone()).collect();
    let mut asked = if missing.is_empty() { Vec::new() } else { ask(&missing)? }.into_iter();
    Ok(known.into_iter().map(|it| it.or_else(|| asked.next()).unwrap_or(0)).collect())
}

/// What a group's offset is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Begin,
    End,
}

fn no_group_offset(settings: &ScanSettings, missing: &[Partition], role: Role) -> Box<Diagnostic> {
    let partition =
        missing.first().map(|(topic, partition)| format!("{topic}[{partition}]")).unwrap_or_default();
    let verb = if role == Role::Begin { "begin" } else { "end" };
    let message = match &settings.group {
        Some(group) => {
            format!("group '{group}' has committed no offset of '{partition}', where reading was to {verb}")
        }
        None => {
            format!(
                "where to {verb} in '{partition}' is a group's offset, but there is no 'properties.group.id'"
            )
        }
    };
    let help = match (role, &settings.group) {
        (Role::Begin, Some(_)) => {
            "'properties.auto.offset.reset' = 'earliest' or 'latest' says where to begin then; \
             'scan.startup.mode' = 'earliest-offset' reads everything"
        }
        (Role::Begin, None) => "set it, or 'scan.startup.mode' = 'earliest-offset' to read everything",
        (Role::End, _) => {
            "check 'properties.group.id': the table ends where that group has come to; 'scan.bounded.mode' = \
             'latest-offset' ends at what is there when the job begins"
        }
    };
    Diagnostic::error(Code::InputMissing, message).that_lasts().help(help)
}
