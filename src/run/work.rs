//! Under the locks: revisions of one chain after the other, then hooks, then reindexing.

use tracing::{Instrument as _, warn};

use super::{Run, begins};
use crate::{
    apply::{self, ApplyError, Patience, Work},
    config::{AutoMigration, MigrateCommand},
    db::{Locked, Observed},
    error::Error,
    look::Look,
    plan::{Next, State},
    reindex,
    stage::Stage,
};

impl Run<'_> {
    /// What is due, under the locks: revisions until the targets are reached, hooks, reindexing.
    pub(super) async fn work(&self, locked: &mut [Locked]) -> Result<(), Error> {
        let looks = self.migrate_all(locked).await?;
        let heads = looks.iter().map(Look::heads_text).collect::<Vec<_>>().join(";");
        let is_ready = |look: &Look| look.state == State::Ready;
        if self.config.auto_migration == AutoMigration::True && looks.iter().all(is_ready) {
            for hook in &self.config.hooks {
                if looks[0].hooks.contains(&hook.name) {
                    reindex::hook(locked, self.config, hook, &heads, self.signals)
                        .await
                        .map_err(Error::Hook)?;
                }
            }
        }
        if let Some(command) = &self.config.reindex_command {
            begins(Stage::Reindex);
            for (at, look) in looks.iter().enumerate() {
                let (locked, heads) = (&mut locked[at..=at], look.heads_text());
                let subjects = &look.reindex;
                reindex::reindex(locked, self.config, command, subjects, &heads, self.signals)
                    .await
                    .map_err(|error| self.links[at].fault(Error::Reindex(error)))?;
            }
        }
        Ok(())
    }

    /// Migrates one chain after the other, and gives the looks at all of them.
    async fn migrate_all(&self, locked: &mut [Locked]) -> Result<Vec<Look>, Error> {
        let observed = self.observe(locked).await?;
        let mut looks = self.judge_all(&observed);
        // A refusal of one comes before the first change of another.
        self.decide(&looks)?;
        let (mut shared, mut moved) = (false, false);
        for (at, link) in self.links.iter().enumerate() {
            // It is no chain's more than another's: nothing that is said of it names one.
            if !shared && self.shares(at) && self.next(&looks[at]) == Next::Work {
                shared = self.delegate(at, locked, &looks[at].state).await?;
            }
            let first = (observed[at].clone(), looks[at].clone());
            let migrating = self.migrate(at, locked, first);
            let migrated = migrating.instrument(link.span.clone()).await;
            if let Some(look) = migrated.map_err(|error| link.fault(error))? {
                (looks[at], moved) = (look, true);
            }
        }
        // Whether a hook is due is a question of all heads together.
        if moved && looks.len() > 1 {
            looks = self.judge_all(&self.observe(locked).await?);
            self.decide(&looks)?;
            self.are_reached(&looks)?;
        }
        Ok(looks)
    }

    /// That no chain was taken back while another one was migrated, such as by the command of both.
    fn are_reached(&self, looks: &[Look]) -> Result<(), Error> {
        for (link, look) in self.links.iter().zip(looks) {
            if let (State::Pending(plan), Some(chain)) = (&look.state, &link.chain) {
                return Err(link.fault(Error::unreached(chain, look, plan)));
            }
        }
        Ok(())
    }

    /// The looks under the locks.
    async fn observe(&self, locked: &mut [Locked]) -> Result<Vec<Observed>, Error> {
        let mut all = Vec::new();
        for (link, locked) in self.links.iter().zip(locked) {
            let observed = locked.look().instrument(link.span.clone()).await;
            all.push(observed.map_err(|error| link.fault(Error::Locked(error)))?);
        }
        Ok(all)
    }

    /// Applies until a look finds nothing pending, and gives that look; none if the first one did.
    /// The command that several chains share has been run before.
    async fn migrate(
        &self,
        at: usize,
        locked: &mut [Locked],
        first: (Observed, Look),
    ) -> Result<Option<Look>, Error> {
        let ((mut observed, mut look), mut seen, mut applied) = (first, None, false);
        // What was there when nothing could be done for once.
        let mut unsettled = None;
        let link = &self.links[at];
        loop {
            match self.next(&look) {
                Next::Refuse(refusal) | Next::Await(refusal) => {
                    return Err(Error::Refused(refusal));
                }
                Next::Start | Next::Work => (),
            }
            let (AutoMigration::True, Some(chain)) = (self.config.auto_migration, &link.chain)
            else {
                return Ok(seen.map(|()| look));
            };
            let is_external =
                look.external && matches!(look.state, State::Ready | State::Pending(_));
            if unsettled.as_ref() == Some(&observed) {
                let table = chain.version_table().map(ToString::to_string);
                let table = table.unwrap_or_else(|| "prelaunch_ledger".to_owned());
                return Err(Error::Apply(ApplyError::Restless { table }));
            }
            if is_external {
                let heads = look.heads_text();
                let agreed = apply::agree(&mut locked[at], chain, &observed, &heads).await;
                agreed.map_err(Error::Apply)?;
                unsettled = Some(observed);
                observed = locked[at].look().await.map_err(Error::Locked)?;
                (look, seen) = (self.judge(at, &observed, &[]), Some(()));
                continue;
            }
            let State::Pending(plan) = &look.state else { return Ok(seen.map(|()| look)) };
            if applied {
                return Err(Error::unreached(chain, &look, plan));
            }
            if chain.alembic.is_some() {
                if !self.shares(at) {
                    self.delegate(at, locked, &look.state).await?;
                }
                let recorded = apply::record(&mut locked[at], chain, plan, &look.heads).await;
                recorded.map_err(Error::Migration)?;
                applied = true;
            } else {
                let (heads, asked) = (look.heads.clone(), self.asked(link));
                let work = Work::of_plan(chain, plan, heads, &observed, asked);
                let work = work.map_err(Error::Chain)?;
                match apply::apply(&mut locked[at], &work, Patience::of(self.config)).await {
                    Ok(()) => applied = true,
                    // Each time something has changed, so that this comes to an end.
                    Err(error @ ApplyError::Overtaken { .. }) => {
                        warn!(
                            stage = %Stage::Apply, event = "overtaken", why = error.to_string(),
                            "somebody works beside us past the lock; looks again"
                        );
                        unsettled = Some(observed);
                    }
                    Err(error) => return Err(Error::Apply(error)),
                }
            }
            observed = locked[at].look().await.map_err(Error::Locked)?;
            (look, seen) = (self.judge(at, &observed, &[]), Some(()));
        }
    }

    /// Whether one command migrates this chain and others.
    fn shares(&self, at: usize) -> bool {
        matches!(self.links[at].config.command, Some(MigrateCommand::Shared(_)))
    }

    /// Has Alembic, or the command that does its work, apply what is pending; whether there was
    /// something for it to do.
    async fn delegate(
        &self,
        at: usize,
        locked: &mut [Locked],
        state: &State,
    ) -> Result<bool, Error> {
        let (AutoMigration::True, State::Pending(plan), Some(chain)) =
            (self.config.auto_migration, state, &self.links[at].chain)
        else {
            return Ok(false);
        };
        let locked = if self.shares(at) { locked } else { &mut locked[at..=at] };
        apply::delegate(locked, self.config, self.links[at].config, chain, plan, self.signals)
            .await
            .map_err(Error::Migration)?;
        Ok(chain.alembic.is_some())
    }
}
