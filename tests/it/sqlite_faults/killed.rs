//! SIGKILL at any moment.

use std::{
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use nix::sys::signal::Signal;

use super::{JOURNALS, REBUILD, in_use, migrating, state};
use crate::{database::Database as _, prelaunch::Prelaunch, sqlite::Sqlite};

#[test]
fn after_a_kill_at_any_moment_the_next_run_ends_as_if_there_had_been_none() {
    for journal in JOURNALS {
        let undisturbed = in_use(journal);
        let began = Instant::now();
        of_every_kind(&undisturbed).run().assert_status(0);
        let took = began.elapsed();
        let expected = state(&undisturbed);
        let mut kills = 0;
        // Not each comes before the end.
        for round in 0..30 {
            if kills >= 20 {
                break;
            }
            let database = in_use(journal);
            let start = of_every_kind(&database);
            for moment in moments(took, round) {
                let running = start.spawn();
                // The moment is what is tried, and no event stands for it.
                thread::sleep(moment);
                running.signal(Signal::SIGKILL);
                kills += usize::from(running.wait().code() == 137);
            }
            let outcome = start.run();
            outcome.assert_status(0);
            let found = state(&database);
            assert!(found == expected, "{}\n{expected}\nand found\n{found}", outcome.transcript());
            assert_eq!(database.upgrades(), ["a000", "b000", "c000", "d000", "e000"]);
        }
        assert!(kills >= 10, "only {kills} came before the end");
    }
}

/// Revisions with much and little to do, of every kind.
fn of_every_kind(database: &Sqlite) -> Prelaunch {
    migrating(database)
        .revision(
            "b000",
            "a000",
            "create table orders (customer integer not null references customers (id) on delete
             cascade, what text);
             with recursive c (n) as (select 1 union all select n + 1 from c where n < 5000)
             insert into orders select 1 + n % 2, 'order ' || n from c;",
        )
        .revision("c000", "b000", REBUILD)
        .script(
            "d000.sql",
            "-- d000\n-- revision: d000\n-- revises: c000\n-- transaction: false\n\
             -- idempotent: true\n\n-- migrate:up\n\
             create table if not exists totals (customer integer primary key, orders integer);\n\
             insert or replace into totals select customer, count(*) from orders group by 1;\n\
             create index if not exists orders_customer on orders (customer);\n",
        )
        .revision("e000", "d000", "delete from orders where what = 'order 7';")
}

/// Two moments of a run, which differ from round to round and from time to time.
fn moments(took: Duration, round: u32) -> [Duration; 2] {
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos() ^ round;
    [(1, 0.9), (2, 0.6)].map(|(nth, part)| {
        let random = seed.wrapping_add(nth).wrapping_mul(2_654_435_761) >> 16;
        took.mul_f64(part * f64::from(random) / 65_536.0)
    })
}
