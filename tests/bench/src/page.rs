//! BENCHMARKS.md: what lies between its marks is written here; what lies around them is written by hand.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::growth::{Growth, LATENCY_MS};
use crate::results::Run;
use crate::{chart, goals, table};

/// The latency that the chart shows.
const SHOWN_MS: u64 = 20;
const CHART: &str = "tests/bench/chart.svg";

/// Where it is, and where results are kept.
pub(crate) struct Page {
    pub(crate) repository: PathBuf,
    /// `target/bench`.
    pub(crate) folder: PathBuf,
}

impl Page {
    /// Keeps a run: a quick one beside the last whole one.
    pub(crate) fn keep(&self, run: &Run) -> Result<()> {
        self.save(if run.quick { "quick.json" } else { "results.json" }, run)
    }

    pub(crate) fn keep_growth(&self, growth: &Growth) -> Result<()> {
        self.save("growth.json", growth)
    }

    fn save(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, serde_json::to_vec_pretty(value)?).with_context(|| path.display().to_string())?;
        println!("written: {}", path.display());
        Ok(())
    }

    fn load<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        match fs::read(self.folder.join(name)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).with_context(|| name.to_owned())?)),
            Err(_) => Ok(None),
        }
    }

    /// Writes the page's generated parts and the chart from what is kept. A part that nothing is kept for stays as it is.
    pub(crate) fn write(&self) -> Result<()> {
        let path = self.repository.join("BENCHMARKS.md");
        let mut text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let growth: Option<Growth> = self.load("growth.json")?;
        let run: Option<Run> = self.load("results.json")?;
        if let Some(run) = &run {
            text = replaced(&text, "run", &whole(run))?;
            text = replaced(&text, "goals", &goal_table(run, growth.as_ref()))?;
        }
        let quick: Option<Run> = self.load("quick.json")?;
        if let Some(quick) = &quick {
            text = replaced(&text, "quick", &details("The quick run's table", &table::markdown(quick), quick))?;
        }
        if let Some(growth) = &growth {
            let head = format!("{}, {LATENCY_MS} ms of latency, one round each.\n\n", growth.date);
            text = replaced(&text, "growth", &(head + &growth.markdown()))?;
        }
        // Of whole runs alone: a quick one would take rows out of it.
        if let Some(run) = &run {
            fs::write(self.repository.join(CHART), chart::svg(run, SHOWN_MS))?;
        }
        fs::write(&path, text)?;
        println!("written: {}{}", relative(&path, &self.repository), if run.is_some() { " and the chart" } else { "" });
        Ok(())
    }
}

fn relative(path: &Path, base: &Path) -> String {
    path.strip_prefix(base).unwrap_or(path).display().to_string()
}

fn about(run: &Run) -> String {
    let versions: Vec<String> = run.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    format!(
        "`{}`, {}, {:.0} min. {}. {}.\n",
        run.command,
        run.date,
        (run.took / 60.0).ceil(),
        run.machine,
        versions.join(", ")
    )
}

fn whole(run: &Run) -> String {
    format!("{}\n![Time of each work by peer, on a logarithmic scale]({CHART})\n\n{}", about(run), table::markdown(run))
}

fn details(title: &str, content: &str, run: &Run) -> String {
    format!("{}\n<details><summary>{title}</summary>\n\n{content}</details>\n", about(run))
}

fn goal_table(run: &Run, growth: Option<&Growth>) -> String {
    let mut out = String::from("| work | goal | found | |\n|---|---|---|---|\n");
    let sessions = growth.map(Growth::goals).unwrap_or_default();
    for goal in goals::all(run).into_iter().chain(sessions) {
        out += &format!("| {} | {} | {} | {} |\n", goal.work, goal.goal, goal.figure, goal.word());
    }
    out
}

/// The text with another part between the marks of that name.
fn replaced(text: &str, name: &str, part: &str) -> Result<String> {
    let (begin, end) = (format!("<!-- {name}: written by make bench -->\n"), format!("<!-- end of {name} -->\n"));
    let from = text.find(&begin).with_context(|| format!("BENCHMARKS.md has no mark {begin:?}"))? + begin.len();
    let to = text[from..].find(&end).with_context(|| format!("BENCHMARKS.md has no mark {end:?}"))? + from;
    Ok(format!("{}{part}{}", &text[..from], &text[to..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let page = "by hand\n<!-- run: written by make bench -->\nold\n<!-- end of run -->\nby hand, too\n";
        let once = replaced(page, "run", "new\n").expect("marks");
        assert_eq!(once, page.replace("old", "new"));
        assert_eq!(replaced(&once, "run", "old\n").expect("marks"), page);
        assert!(replaced(page, "goals", "").is_err());
    }
}
