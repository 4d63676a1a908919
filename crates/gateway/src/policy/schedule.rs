//! When a schedule holds, and when that changes next. Pure functions of wall-clock seconds.

use config::model::{Schedule, ScheduleKind};

const MINUTE: i64 = 60;
const DAY: i64 = 86_400;
/// 1970-01-01 was a Thursday; Monday is 0.
const EPOCH_WEEKDAY: i64 = 3;

/// Whether `schedule` holds at `unix` (seconds since 1970-01-01 UTC).
pub(super) fn holds(schedule: &Schedule, unix: i64) -> bool {
    match schedule.kind {
        ScheduleKind::Once { from, to } => (from..to).contains(&unix),
        ScheduleKind::Recurring { days, from, to } => {
            let local = local(schedule, unix);
            let day = local.div_euclid(DAY);
            // A window that began yesterday may reach into today.
            [day - 1, day].into_iter().any(|start| {
                window(days, from, to, start).is_some_and(|(a, b)| (a..b).contains(&local))
            })
        }
    }
}

/// The first second after `unix` at which [`holds`] gives another answer; `None` if there is none.
pub(super) fn next_change(schedule: &Schedule, unix: i64) -> Option<i64> {
    let now = holds(schedule, unix);
    match schedule.kind {
        ScheduleKind::Once { from, to } => {
            [from, to].into_iter().filter(|&at| at > unix && holds(schedule, at) != now).min()
        }
        ScheduleKind::Recurring { days, from, to } => {
            let shift = i64::from(schedule.utc_offset_minutes) * MINUTE;
            let day = local(schedule, unix).div_euclid(DAY);
            // Every pattern repeats after a week.
            (day - 1..=day + 8)
                .filter_map(|start| window(days, from, to, start))
                .flat_map(|(a, b)| [a, b])
                .map(|local| local.saturating_sub(shift))
                .filter(|&at| at > unix && holds(schedule, at) != now)
                .min()
        }
    }
}

fn local(schedule: &Schedule, unix: i64) -> i64 {
    unix.saturating_add(i64::from(schedule.utc_offset_minutes) * MINUTE)
}

/// The window that begins on `day` (days since 1970-01-01), in local seconds.
fn window(days: u8, from: u16, to: u16, day: i64) -> Option<(i64, i64)> {
    let weekday = (day + EPOCH_WEEKDAY).rem_euclid(7);
    (days >> weekday & 1 != 0).then(|| {
        let start = day.saturating_mul(DAY);
        let over_midnight = if to <= from { DAY } else { 0 };
        let at = |minute: u16| start.saturating_add(i64::from(minute) * MINUTE);
        (at(from), at(to).saturating_add(over_midnight))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::model::Line;
    use proptest::prelude::*;

    fn recurring(days: u8, from: u16, to: u16, utc_offset_minutes: i16) -> Schedule {
        Schedule {
            name: "s".into(),
            line: Line(1),
            kind: ScheduleKind::Recurring { days, from, to },
            utc_offset_minutes,
        }
    }

    /// 2024-01-01 00:00 UTC, a Monday.
    const MONDAY: i64 = 1_704_067_200;

    #[test]
    fn office_hours_in_another_time_zone() {
        // Monday to Friday, 08:00 to 18:00 at UTC+2.
        let office = recurring(0b1_1111, 480, 1080, 120);
        assert!(!holds(&office, MONDAY + 6 * 3600 - 1));
        assert!(holds(&office, MONDAY + 6 * 3600));
        assert!(holds(&office, MONDAY + 16 * 3600 - 1));
        assert!(!holds(&office, MONDAY + 16 * 3600));
        let friday_evening = MONDAY + 4 * DAY + 16 * 3600;
        assert_eq!(next_change(&office, friday_evening), Some(MONDAY + 7 * DAY + 6 * 3600));
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_it_begins() {
        // Sunday 22:00 to Monday 06:00.
        let night = recurring(1 << 6, 1320, 360, 0);
        assert!(holds(&night, MONDAY + 5 * 3600));
        assert!(!holds(&night, MONDAY + 6 * 3600));
        assert!(!holds(&night, MONDAY + 22 * 3600));
        assert_eq!(next_change(&night, MONDAY), Some(MONDAY + 6 * 3600));
    }

    #[test]
    fn what_never_changes_says_so() {
        assert_eq!(next_change(&recurring(0x7f, 0, 1440, 0), MONDAY), None);
        assert_eq!(next_change(&recurring(0, 480, 1080, 0), MONDAY), None);
        let once =
            Schedule { kind: ScheduleKind::Once { from: 100, to: 200 }, ..recurring(0, 0, 0, 0) };
        assert_eq!(next_change(&once, 0), Some(100));
        assert_eq!(next_change(&once, 100), Some(200));
        assert_eq!(next_change(&once, 200), None);
    }

    proptest! {
        #[test]
        fn nothing_changes_before_the_next_change(
            days in 0_u8..128, from in 0_u16..1440, to in 0_u16..=1440,
            offset in -720_i16..840, unix in MONDAY..MONDAY + 30 * DAY,
        ) {
            let schedule = recurring(days, from, to, offset);
            let now = holds(&schedule, unix);
            let next = next_change(&schedule, unix);
            let end = next.unwrap_or(unix + 9 * DAY);
            for at in (unix..end).step_by(60 * 7).chain([end - 1]) {
                prop_assert_eq!(holds(&schedule, at), now);
            }
            if let Some(at) = next {
                prop_assert_ne!(holds(&schedule, at), now);
            }
        }
    }
}
