//! The built component, driven from the host, against a server on a socket. Nothing here calls `src/`.
//!
//! | module        | proves                                                                             |
//! |---------------|------------------------------------------------------------------------------------|
//! | `budget`      | how many requests an operation costs, exactly                                      |
//! | `files`       | what the kit cannot see: the bytes on the cluster's disk, faults, limits             |
//! | `names`       | names that shells, forms and listings trip over                                    |
//! | `trees`       | folders and patterns, up and down                                                  |
//! | `large`       | files past the direct limit                                                        |
//! | `transfers`   | stops, cuts, a store's faults, small limits, a narrow memory                 |
//! | `cluster`     | globs, copies, renames, archives, commands                                         |
//! | `jobs`        | from a job template to a job's end                                                 |
//! | `rate`        | the budget of requests a minute that sessions share, and the statistics             |
//! | `retry`       | what is done after each outcome                                                    |
//! | `submit_once` | that a submission whose answer was lost is one job                                 |
//! | `wire`        | lost answers, gateways, servers that are none, tokens, connections                 |
//! | `conformance` | every promise of the contract, through the kit, and that each can be broken          |
//! | `contract`    | the component's imports, exports, size and options                                 |
//! | `host`        | origins, folders, limits, faults of plugins, secrets                               |
//! | `many`        | a thousand sessions of one process, at work at once                                |
//! | `hostile`     | plugins that attack: origins, files, limits, faults                                |
//! | `walls`       | servers that mean harm: names, sizes, addresses, secrets                           |
//! | `tls`         | certificates, and no way around them                                               |
//! | `cli`         | the command line, and every case of bad input                                      |
//! | `cli_tree`    | put and get of folders, cp, mv, ln, readlink, glob, tree                           |
//! | `cli_cluster` | compress, extract, exec                                                            |
//! | `cli_sync`    | sync, both ways                                                                    |
//! | `cli_stop`    | Ctrl-C in the middle, and the progress bar                                         |
//! | `kill`        | SIGKILL in every phase, dropped calls, and the next session that cleans up         |
//! | `local`       | a plugin in another language, whose cluster is a folder                            |
//! | `local_kill`  | the same in a process that is killed, and the next session that tidies              |
//! | `plugins`     | plugins in a folder: manifests, grants, versions, sizes                            |
//! | `pyfirecrest` | the simulator, by the public package                                               |
//!
//! `desk`, `programs`, `puppet` and `raw` are what these need besides the harness: a place to run the command line at, the built
//! programs, plugins that misbehave, and a server that says anything.

mod budget;
mod chaos;
mod cli;
mod cli_cluster;
mod cli_stop;
mod cli_sync;
mod cli_tree;
mod cluster;
mod conformance;
mod contract;
mod desk;
mod files;
mod host;
mod hostile;
mod jobs;
mod kill;
mod large;
mod local;
mod local_kill;
mod many;
mod names;
mod plugins;
mod programs;
mod puppet;
mod pyfirecrest;
mod rate;
mod raw;
mod retry;
mod submit_once;
mod tls;
mod transfers;
mod trees;
mod walls;
mod wire;
