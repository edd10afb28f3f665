//! Where a job that starts from nothing begins in each partition, and where it ends.

use flott_types::{Code, Diagnostic, Result};

use super::{
    cluster::{Cluster, Partition, Place},
    position::SplitPlace,
};
use crate::options::scan::{Bounded, Reset, ScanSettings, Startup};

/// The places of all partitions that are there.
///
/// # Errors
/// `InputMissing`, `InputUnreadable`
pub(crate) fn places(cluster: &Cluster<'_>, settings: &ScanSettings) -> Result<Vec<SplitPlace>> {
    let mut partitions = cluster.partitions(&settings.topics)?;
    if let Bounded::Offsets(ends) = &settings.bounded {
        partitions.retain(|(_, partition)| ends.contains_key(partition));
    }
    let starts = starts(cluster, settings, &partitions)?;
    let ends = ends(cluster, settings, &partitions)?;
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
                Reset::Fail => Err(no_group_offset(settings, missing)),
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
            all(fill(known, partitions, |missing| Err(no_group_offset(settings, missing)))?)
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

fn no_group_offset(settings: &ScanSettings, missing: &[Partition]) -> Box<Diagnostic> {
    let partition =
        missing.first().map(|(topic, partition)| format!("{topic}[{partition}]")).unwrap_or_default();
    let (message, help) = match &settings.group {
        Some(group) => (
            format!("group '{group}' has committed no offset of '{partition}', where reading was to begin"),
            "'properties.auto.offset.reset' = 'earliest' or 'latest' says where to begin then; \
             'scan.startup.mode' = 'earliest-offset' reads everything",
        ),
        None => (
            format!(
                "where to begin in '{partition}' is a group's offset, but there is no 'properties.group.id'"
            ),
            "set it, or 'scan.startup.mode' = 'earliest-offset' to read everything",
        ),
    };
    Diagnostic::error(Code::InputMissing, message).that_lasts().help(help)
}
