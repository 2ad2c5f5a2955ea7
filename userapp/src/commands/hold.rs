//! `hold`: locks and timers in known states, until the user has seen enough.

use std::time::{Duration, Instant};

use syncstress_protocol::{ItemKind, Phase, RunReference};

use crate::{
    catalog::{self, Item},
    cli::Hold,
    client::{Client, ClientError},
    error::Error,
    held::Held,
    interrupt::Interrupt,
    length::Length,
    parameters::{self, Values},
    run::Runner,
    selection::select,
    show::{Report, Screen},
    transport::Transport,
};

/// What lists the patterns, in the place of a name.
const LIST: &str = "list";
/// How long a pattern may take until it is there.
const PATIENCE: Duration = Duration::from_mins(1);
/// The pause between two looks whether it is.
const PAUSE: Duration = Duration::from_millis(2);

/// A pattern that is being held, on a handle of its own: a handle has one run at a time.
struct Kept<'c> {
    item: &'c Item,
    values: Values,
    client: Client,
    run: RunReference,
}

/// Carries the command out.
pub fn carry_out(
    wanted: &Hold,
    (transport, client): (&dyn Transport, &Client),
    screen: Screen,
    interrupt: &Interrupt,
    report: &mut Report,
) -> Result<(), Error> {
    let catalog = catalog::read(client)?;
    if wanted.names == [LIST] {
        let items = select(&catalog, ItemKind::HoldPattern, &[])?;
        let items: Vec<Item> = items.into_iter().cloned().collect();
        screen.list(&items);
        report.items = Some(items);
        return Ok(());
    }
    let kept = begin(wanted, &catalog, transport)?;
    let held = kept
        .iter()
        .map(|kept| kept.is_there(interrupt))
        .collect::<Result<Vec<_>, _>>()?;
    screen.held(&held, wanted.seconds);
    report.held = held;
    for Kept {
        item,
        values,
        client,
        run,
    } in kept
    {
        // Waits for the end of its time or for the user, which is no early end here.
        let ended = Runner::new(&client, interrupt).finish(item, &values, run, &mut |_| {});
        report.runs.push(ended?);
        client.close()?;
    }
    Ok(())
}

/// Starts every pattern that is named.
fn begin<'c>(
    wanted: &Hold,
    catalog: &'c [Item],
    transport: &dyn Transport,
) -> Result<Vec<Kept<'c>>, Error> {
    let length = wanted.seconds.map(Length::of_seconds);
    let start = |item: &'c Item| {
        let setting = length.map(|it| it.setting_for(item)).transpose()?;
        let values = parameters::values_for(item, setting.as_slice())?;
        let client = Client::new(transport.open()?)?;
        let run = client.start(item.id, &values.set)?;
        Ok(Kept {
            item,
            values,
            client,
            run,
        })
    };
    let items = select(catalog, ItemKind::HoldPattern, &wanted.names)?;
    items.into_iter().map(start).collect()
}

impl Kept<'_> {
    /// Waits until the pattern is there.
    fn is_there(&self, interrupt: &Interrupt) -> Result<Held, Error> {
        let start = Instant::now();
        loop {
            if let Some(object) = self.client.held(self.run)? {
                return Ok(Held::new(&object));
            }
            let phase = self.client.progress(self.run)?.phase;
            if phase == Phase::Finished || start.elapsed() > PATIENCE {
                return Err(Error::from(ClientError::Protocol {
                    request: "QUERY_HELD",
                    why: format!("{} is not there", self.item.name),
                }));
            }
            interrupt.sleep(PAUSE);
        }
    }
}
