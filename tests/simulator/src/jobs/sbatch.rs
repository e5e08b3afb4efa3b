//! What `sbatch` makes of a script and its options: the `#SBATCH` lines, the command line over them, and its error texts.

use crate::jobs::time::limit_minutes;

/// What sbatch has been told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) job_name: Option<String>,
    pub(crate) output: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) input: Option<String>,
    pub(crate) partition: Option<String>,
    pub(crate) account: Option<String>,
    pub(crate) chdir: Option<String>,
    pub(crate) nodes: Option<u32>,
    pub(crate) ntasks: Option<u32>,
    pub(crate) ntasks_per_node: Option<u32>,
    pub(crate) cpus_per_task: Option<u32>,
    /// In minutes; the outer one says whether it was given, the inner one whether there is a limit.
    pub(crate) time: Option<Option<u64>>,
    pub(crate) hold: bool,
    pub(crate) append: bool,
}

/// An error of sbatch: its exit status is 1, this is its stderr.
pub(crate) type Refusal = String;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    Value,
    /// A value only behind an equals sign.
    Optional,
}

/// All options of sbatch 22.05: long name, short one, what it takes.
const OPTIONS: &[(&str, char, Takes)] = {
    use Takes::{Nothing, Optional, Value};
    &[
        ("account", 'A', Value),
        ("acctg-freq", '\0', Value),
        ("array", 'a', Value),
        ("batch", '\0', Value),
        ("bb", '\0', Value),
        ("bbf", '\0', Value),
        ("begin", 'b', Value),
        ("chdir", 'D', Value),
        ("cluster", '\0', Value),
        ("cluster-constraint", '\0', Value),
        ("clusters", 'M', Value),
        ("comment", '\0', Value),
        ("constraint", 'C', Value),
        ("container", '\0', Value),
        ("contiguous", '\0', Nothing),
        ("core-spec", 'S', Value),
        ("cores-per-socket", '\0', Value),
        ("cpu-freq", '\0', Value),
        ("cpus-per-gpu", '\0', Value),
        ("cpus-per-task", 'c', Value),
        ("deadline", '\0', Value),
        ("delay-boot", '\0', Value),
        ("dependency", 'd', Value),
        ("distribution", 'm', Value),
        ("error", 'e', Value),
        ("exclude", 'x', Value),
        ("exclusive", '\0', Optional),
        ("export", '\0', Value),
        ("export-file", '\0', Value),
        ("extra-node-info", 'B', Value),
        ("get-user-env", '\0', Optional),
        ("gid", '\0', Value),
        ("gpu-bind", '\0', Value),
        ("gpu-freq", '\0', Value),
        ("gpus", 'G', Value),
        ("gpus-per-node", '\0', Value),
        ("gpus-per-socket", '\0', Value),
        ("gpus-per-task", '\0', Value),
        ("gres", '\0', Value),
        ("gres-flags", '\0', Value),
        ("hint", '\0', Value),
        ("hold", 'H', Nothing),
        ("ignore-pbs", '\0', Nothing),
        ("input", 'i', Value),
        ("job-name", 'J', Value),
        ("kill-on-invalid-dep", '\0', Value),
        ("licenses", 'L', Value),
        ("mail-type", '\0', Value),
        ("mail-user", '\0', Value),
        ("mcs-label", '\0', Value),
        ("mem", '\0', Value),
        ("mem-bind", '\0', Value),
        ("mem-per-cpu", '\0', Value),
        ("mem-per-gpu", '\0', Value),
        ("mincpus", '\0', Value),
        ("network", '\0', Value),
        ("nice", '\0', Optional),
        ("no-kill", 'k', Optional),
        ("no-requeue", '\0', Nothing),
        ("nodefile", 'F', Value),
        ("nodelist", 'w', Value),
        ("nodes", 'N', Value),
        ("ntasks", 'n', Value),
        ("ntasks-per-core", '\0', Value),
        ("ntasks-per-gpu", '\0', Value),
        ("ntasks-per-node", '\0', Value),
        ("ntasks-per-socket", '\0', Value),
        ("open-mode", '\0', Value),
        ("output", 'o', Value),
        ("overcommit", 'O', Nothing),
        ("oversubscribe", 's', Optional),
        ("parsable", '\0', Optional),
        ("partition", 'p', Value),
        ("power", '\0', Value),
        ("prefer", '\0', Value),
        ("priority", '\0', Value),
        ("profile", '\0', Value),
        ("propagate", '\0', Optional),
        ("qos", 'q', Value),
        ("quiet", 'Q', Nothing),
        ("reboot", '\0', Nothing),
        ("requeue", '\0', Nothing),
        ("reservation", '\0', Value),
        ("signal", '\0', Value),
        ("sockets-per-node", '\0', Value),
        ("spread-job", '\0', Nothing),
        ("switches", '\0', Value),
        ("test-only", '\0', Nothing),
        ("thread-spec", '\0', Value),
        ("threads-per-core", '\0', Value),
        ("time", 't', Value),
        ("time-min", '\0', Value),
        ("tmp", '\0', Value),
        ("uid", '\0', Value),
        ("use-min-nodes", '\0', Nothing),
        ("verbose", 'v', Nothing),
        ("wait", 'W', Nothing),
        ("wait-all-nodes", '\0', Value),
        ("wckey", '\0', Value),
        ("workdir", '\0', Value),
        ("wrap", '\0', Value),
    ]
};

const HINT: &str = "Try \"sbatch --help\" for more information\n";

/// Reads a script: checks that it is one, and takes its `#SBATCH` lines.
pub(crate) fn read_script(script: &[u8]) -> Result<Options, Refusal> {
    if script.is_empty() {
        return Err("sbatch: error: Batch script is empty!\n".into());
    }
    if script.iter().all(u8::is_ascii_whitespace) {
        return Err("sbatch: error: Batch script contains only whitespace!\n".into());
    }
    if !script.starts_with(b"#!") {
        return Err(concat!(
            "sbatch: error: This does not look like a batch script.  The first\n",
            "sbatch: error: line must start with #! followed by the path to an interpreter.\n",
            "sbatch: error: For instance: #!/bin/sh\n",
        )
        .into());
    }
    if script.contains(&0) {
        return Err(concat!(
            "sbatch: error: The SLURM controller does not allow scripts that\n",
            "sbatch: error: contain the NULL character '\\0'.\n",
        )
        .into());
    }
    if script.windows(2).any(|pair| pair == b"\r\n") {
        return Err(concat!(
            "sbatch: error: Batch script contains DOS line breaks (\\r\\n)\n",
            "sbatch: error: instead of expected UNIX line breaks (\\n).\n",
        )
        .into());
    }
    let text = String::from_utf8_lossy(script);
    let mut words = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("#SBATCH") {
            if rest.is_empty() || rest.starts_with(char::is_whitespace) {
                words.extend(split_words(rest));
            }
        } else if !line.trim_start().starts_with('#') && !line.trim().is_empty() {
            break;
        }
    }
    let mut options = Options::default();
    options.take(&words)?;
    Ok(options)
}

/// Splits a directive into words: quotes hold together, a backslash escapes, a hash ends it.
fn split_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, Some(end)) if c == end => quote = None,
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('\\', None) => {
                if let Some(next) = chars.next() {
                    word.get_or_insert_default().push(next);
                }
            }
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            ('#', None) => break,
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

impl Options {
    /// Takes options as a command line gives them; later ones win.
    pub(crate) fn take(&mut self, words: &[String]) -> Result<(), Refusal> {
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if let Some(long) = word.strip_prefix("--") {
                if long.is_empty() {
                    return Ok(());
                }
                let (name, attached) = match long.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (long, None),
                };
                let (name, takes) = find_long(name)?;
                let value = match (takes, attached) {
                    (Takes::Nothing, Some(_)) => {
                        return Err(format!("sbatch: option '--{name}' doesn't allow an argument\n{HINT}"));
                    }
                    (Takes::Value, None) => Some(
                        words
                            .next()
                            .cloned()
                            .ok_or_else(|| format!("sbatch: option '--{name}' requires an argument\n{HINT}"))?,
                    ),
                    (_, attached) => attached,
                };
                self.set(name, value.unwrap_or_default())?;
            } else if let Some(short) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) {
                let mut rest = short;
                while let Some(letter) = rest.chars().next() {
                    rest = &rest[letter.len_utf8()..];
                    let (name, _, takes) = OPTIONS
                        .iter()
                        .find(|(_, short, _)| *short == letter && letter != '\0')
                        .ok_or_else(|| format!("sbatch: invalid option -- '{letter}'\n{HINT}"))?;
                    let value = match takes {
                        Takes::Nothing => String::new(),
                        Takes::Optional => std::mem::take(&mut rest).to_owned(),
                        Takes::Value if rest.is_empty() => words
                            .next()
                            .cloned()
                            .ok_or_else(|| format!("sbatch: option requires an argument -- '{letter}'\n{HINT}"))?,
                        Takes::Value => std::mem::take(&mut rest).to_owned(),
                    };
                    self.set(name, value)?;
                }
            }
            // Other words are ignored in a script.
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), Refusal> {
        match name {
            "job-name" => self.job_name = Some(value),
            "output" => self.output = Some(value),
            "error" => self.error = Some(value),
            "input" => self.input = Some(value),
            "partition" => self.partition = Some(value),
            "account" => self.account = Some(value),
            "chdir" | "workdir" => self.chdir = Some(value),
            "hold" => self.hold = true,
            "open-mode" => match value.as_bytes().first() {
                Some(b'a') => self.append = true,
                Some(b't') => self.append = false,
                _ => return Err("sbatch: error: Invalid --open-mode specification\n".into()),
            },
            "time" => {
                self.time = Some(
                    limit_minutes(&value).map_err(|()| "sbatch: error: Invalid --time specification\n".to_owned())?,
                );
            }
            "nodes" => {
                let least = value.split(['-', ',']).next().unwrap_or_default();
                self.nodes = Some(count(least).ok_or_else(|| {
                    format!(
                        "sbatch: error: \"{value}\" is not a valid node count\nsbatch: error: Invalid --nodes specification\n"
                    )
                })?);
            }
            "ntasks" => self.ntasks = Some(numeric(name, &value)?),
            "ntasks-per-node" => self.ntasks_per_node = Some(numeric(name, &value)?),
            "cpus-per-task" => self.cpus_per_task = Some(numeric(name, &value)?),
            "mem" | "mem-per-cpu" => {
                let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
                let unit = &value[digits.len()..];
                let units = ["", "K", "M", "G", "T", "KB", "MB", "GB", "TB"];
                if digits.parse::<u64>().is_err() || !units.iter().any(|known| known.eq_ignore_ascii_case(unit)) {
                    return Err(format!("sbatch: error: Invalid --{name} specification\n"));
                }
            }
            "array" => {
                return Err("sbatch: error: Batch job submission failed: Invalid job array specification\n".into());
            }
            "dependency" => {
                return Err("sbatch: error: Batch job submission failed: Job dependency problem\n".into());
            }
            // All others are accepted and change nothing that can be seen here.
            _ => {}
        }
        Ok(())
    }

    /// How many nodes the job needs.
    pub(crate) fn node_count(&self, cpus_per_node: u32) -> u32 {
        let tasks = self.ntasks.unwrap_or(1);
        let by_tasks = match self.ntasks_per_node {
            Some(per_node) if per_node > 0 => tasks.div_ceil(per_node),
            _ => tasks.saturating_mul(self.cpus_per_task.unwrap_or(1)).div_ceil(cpus_per_node),
        };
        self.nodes.unwrap_or(1).max(by_tasks).max(1)
    }
}

fn find_long(name: &str) -> Result<(&'static str, Takes), Refusal> {
    if let Some((name, _, takes)) = OPTIONS.iter().find(|(long, _, _)| *long == name) {
        return Ok((name, *takes));
    }
    let mut candidates = OPTIONS.iter().filter(|(long, _, _)| long.starts_with(name));
    match (candidates.next(), candidates.next()) {
        (Some((name, _, takes)), None) => Ok((name, *takes)),
        (Some(_), Some(_)) => Err(format!("sbatch: option '--{name}' is ambiguous\n{HINT}")),
        _ => Err(format!("sbatch: unrecognized option '--{name}'\n{HINT}")),
    }
}

fn count(text: &str) -> Option<u32> {
    text.parse().ok().filter(|count| *count > 0)
}

fn numeric(name: &str, value: &str) -> Result<u32, Refusal> {
    count(value).ok_or_else(|| format!("sbatch: error: Invalid numeric value \"{value}\" for --{name}.\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(script: &str) -> Result<Options, Refusal> {
        read_script(script.as_bytes())
    }

    #[test]
    fn directives_are_honoured_up_to_the_first_command() {
        let options = read(concat!(
            "#!/bin/bash\n",
            "# a comment\n",
            "#SBATCH --output=out-%j.txt --error err.txt\n",
            "\n",
            "#SBATCH -J \"my job\" -t 1-0 # and a remark\n",
            "##SBATCH --hold\n",
            "#SBATCHX --hold\n",
            " # still a comment\n",
            "#SBATCH\t-N2 -n 4\n",
            "#SBATCH --part=xfer --mem=10K --nice --requeue --mail-type=ALL\n",
            "echo\n",
            "#SBATCH --hold\n",
        ))
        .expect("a good script");
        assert_eq!(options.output.as_deref(), Some("out-%j.txt"));
        assert_eq!(options.error.as_deref(), Some("err.txt"));
        assert_eq!(options.job_name.as_deref(), Some("my job"));
        assert_eq!(options.time, Some(Some(1440)));
        assert_eq!(options.nodes, Some(2));
        assert_eq!(options.ntasks, Some(4));
        assert_eq!(options.partition.as_deref(), Some("xfer"));
        assert!(!options.hold);
    }

    #[test]
    fn short_options_may_stand_together() {
        let options = read("#!/bin/sh\n#SBATCH -HQJname\n").expect("a good script");
        assert!(options.hold);
        assert_eq!(options.job_name.as_deref(), Some("name"));
    }

    #[test]
    fn bad_scripts_are_refused() {
        let cases = [
            ("", "Batch script is empty"),
            ("echo hi\n", "does not look like a batch script"),
            ("#!/bin/sh\r\necho\r\n", "DOS line breaks"),
            ("#!/bin/sh\n#SBATCH --nonsense\n", "unrecognized option '--nonsense'"),
            ("#!/bin/sh\n#SBATCH --time=soon\n", "Invalid --time specification"),
            ("#!/bin/sh\n#SBATCH --nodes=many\n", "not a valid node count"),
            ("#!/bin/sh\n#SBATCH --hold=yes\n", "doesn't allow an argument"),
            ("#!/bin/sh\n#SBATCH --output\n", "requires an argument"),
            ("#!/bin/sh\n#SBATCH --n=1\n", "ambiguous"),
            ("#!/bin/sh\n#SBATCH -Z\n", "invalid option -- 'Z'"),
            ("#!/bin/sh\n#SBATCH --mem=lots\n", "Invalid --mem specification"),
        ];
        for (script, text) in cases {
            let refusal = read(script).expect_err(script);
            assert!(refusal.contains(text), "{refusal}");
        }
    }

    #[test]
    fn nodes_follow_from_tasks() {
        let nodes = |text: &str| read(&format!("#!/bin/sh\n#SBATCH {text}\n")).expect("a good script").node_count(16);
        assert_eq!(nodes("-n 1"), 1);
        assert_eq!(nodes("-n 17"), 2);
        assert_eq!(nodes("-n 4 --ntasks-per-node=1"), 4);
        assert_eq!(nodes("-n 4 -c 8"), 2);
        assert_eq!(nodes("-N 3"), 3);
        assert_eq!(nodes("-N 1-5"), 1);
    }
}
