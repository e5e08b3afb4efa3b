//! The scripts of the jobs behind transfer/upload and transfer/download. They do what the server's scripts do, in their own
//! words: the same waits, log lines, exit codes and weaknesses. In place of curl, which not every machine has, bash speaks HTTP
//! to the object store itself.

use std::time::Duration;

use crate::s3::JOB_AGENT;
use crate::transfer::shell::word;

/// `ask METHOD URL HEADERS [FILE]` sends a request, FILE its body, and leaves the answer's body on descriptor 3 and what its
/// head says in `code` (000 without an answer), `length`, `total` (of a range's object) and `etag`.
const ASK: &str = r#"
ask() {
  local rest=${2#http://} host line name
  host=${rest%%/*} code=000 length=0 total=0 etag=
  name=${host%:*} name=${name#[} name=${name%]}
  { exec 3<>"/dev/tcp/$name/${host##*:}"; } 2>/dev/null || return
  printf '%s /%s HTTP/1.0\r\nHost: %s\r\nUser-Agent: %s\r\n%s\r\n' "$1" "${rest#*/}" "$host" "$agent" "$3" >&3
  [ -z "${4-}" ] || cat "$4" >&3 2>/dev/null
  IFS= read -r line <&3 || return
  line=${line#* } code=${line%% *}
  while IFS= read -r line <&3 && line=${line%$'\r'} && [ -n "$line" ]; do
    case ${line,,} in
      content-length:*) length=${line##*[: ]} ;;
      content-range:*) total=${line##*/} ;;
      etag:*) etag=${line#*\"} etag=${etag%\"} ;;
    esac
  done
}
"#;

/// What an upload's job needs.
pub(super) struct Ingress<'a> {
    pub(super) directives: &'a str,
    /// The target as the job's shell understands it; `None` where it would trip over it.
    pub(super) target: Option<&'a str>,
    /// Whether the target may be written to: it is in a file system, and its links lead nowhere else.
    pub(super) allowed: bool,
    pub(super) head_url: &'a str,
    pub(super) url: &'a str,
    pub(super) part_size: u64,
    pub(super) sleep: Duration,
}

impl Ingress<'_> {
    /// The object is looked for every minute, then fetched range by range, each to a file beside the target and on to its end.
    /// A target that cannot be written to is not noticed: the job reports success.
    pub(super) fn script(&self) -> String {
        let Some(target) = self.target else {
            return broken(self.directives, "/bin/bash", "Ingress File Transfer Job", 1);
        };
        let shown = word(target);
        // Nothing can be written below that.
        let place = if self.allowed { shown.clone() } else { "/dev/null/outside".into() };
        let sleep = self.sleep.as_secs_f64();
        let (directives, part_size) = (self.directives, self.part_size);
        let (head_url, url) = (word(self.head_url), word(self.url));
        format!(
            r#"#!/bin/bash
{directives}
agent={JOB_AGENT}
{ASK}
say() {{ echo $(date -u) "$@"; }}
say "Ingress File Transfer Job (id:${{SLURM_JOB_ID:-unknown}})"
shown={shown}
target={place}
if [ -d "$target" ]; then
  say "targetPath must point to a file path:  is a directory." >&2
  exit 3
fi
say "Waiting till file to tranfer is available..."
for look in $(seq 1440); do
  ask HEAD {head_url} ''
  if [ "$code" = 200 ]; then
    say "File to transfer found in S3 bucket"
    say "Downloading file to: $shown ..."
    [ ! -f "$target" ] || rm "$target"
    got=0 from=0 part=1
    while :; do
      range=$'Range: bytes='$from-$((from + {part_size} - 1))$'\r\n'
      ask GET {url} "$range"
      if [ "$code" != 200 ] && [ "$code" != 206 ]; then
        say "Download failed: part $part" >&2
        exit 1
      fi
      {{ head -c "$length" <&3 >"$target.$part"; }} 2>/dev/null
      got=$((got + length))
      cat "$target.$part" >>"$target"
      rm "$target.$part"
      [ $((total - got)) -gt 0 ] || break
      from=$((from + {part_size})) part=$((part + 1))
    done
    say "Received $got bytes"
    say "File was successfully downloaded (size: $(awk -v got="$got" 'BEGIN {{ printf "%0.3f", got / 1024 / 1024 }}')MB)"
    break
  fi
  sleep {sleep}
done
"#
        )
    }
}

/// What a download's job needs.
pub(super) struct Outgress<'a> {
    pub(super) directives: &'a str,
    /// The source as the job's shell understands it; `None` where it would trip over it.
    pub(super) source: Option<&'a str>,
    pub(super) urls: &'a [String],
    pub(super) complete_url: &'a str,
    pub(super) part_size: u64,
}

impl Outgress<'_> {
    /// The file is cut into even parts of whole MiB, three at a time, which are sent and then joined by the completing request.
    pub(super) fn script(&self) -> String {
        // An empty name: what stood behind the first blank was taken for a command.
        let source = word(self.source.unwrap_or_default());
        let tripped = if self.source.is_some() { ":" } else { "echo \"$0: this path is not one word to a shell\" >&2" };
        let (directives, part_size, count) = (self.directives, self.part_size, self.urls.len());
        let urls: Vec<String> = self.urls.iter().map(|url| word(url)).collect();
        let (urls, complete_url) = (urls.join(" "), word(self.complete_url));
        let folder = format!("tmp/{}/", uuid::Uuid::new_v4());
        format!(
            r#"#!/bin/bash -l
{directives}
agent={JOB_AGENT}
{ASK}
urls=({urls})
count={count}
folder={folder}
{tripped}
source={source}
echo $(date -u) "Upload File Job (id:${{SLURM_JOB_ID:-unknown}})"
echo "Uploading file:$source into $count chunks"
if [ ! -f "$source" ]; then
  echo file_not_found >&2
  exit 34
fi
echo "[INFO] Creating temporary folder:$folder"
if ! mkdir -p "$folder" || ! parts=$(mktemp -d "$folder/$(date +%Y%m%d_%H%M%S%N)_XXXXXXXXXXXXX"); then
  echo "cannot create temporary directory" >&2
  exit 34
fi
blocks=0
if [ $count = 0 ]; then
  echo "$0: division by 0" >&2
else
  size=$(stat -c %s "$source")
  each=$(((size + count - 1) / count))
  blocks=$(((each + 1048575) / 1048576))
  if [ $each -gt {part_size} ]; then
    echo error_max_part_size >&2
    exit 27
  fi
fi
put() {{
  echo "[INFO] Uploading part $1..."
  ask PUT "${{urls[$1 - 1]}}" "Content-Length: $(stat -c %s "$parts/$1.part")"$'\r\n' "$parts/$1.part"
  if [ -n "$etag" ]; then
    echo "$etag" >"$parts/$1.result"
    rm "$parts/$1.part"
  else
    echo "error_curl part $1" >&2
  fi
}}
cut_and_put() {{
  dd if="$source" of="$parts/$1.part" bs=1048576 count=$blocks skip=$((($1 - 1) * blocks)) status=none
  put "$1"
}}
for ((part = 1; part <= count; part++)); do
  cut_and_put $part &
  ((part % 3)) || wait
done
wait
for ((part = 1; part <= count; part++)); do
  [ ! -f "$parts/$part.part" ] || put $part
done
echo "[INFO] Parts upload completed."
list=
for ((part = 1; part <= count; part++)); do
  echo -n "[INFO] Upload of part $part "
  if [ -f "$parts/$part.result" ]; then
    etag=$(cat "$parts/$part.result")
    echo "succeded with ETag: $etag|"
    list="$list<Part><PartNumber>$part</PartNumber><ETag>\"$etag\"</ETag></Part>"
  else
    echo failed
    echo -n "upload_failed_part_$part" >&2
  fi
done
echo "[INFO] Signaling multipart upload completion"
echo -n "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">$list</CompleteMultipartUpload>" >"$parts/xml"
ask POST {complete_url} "Content-Length: $(stat -c %s "$parts/xml")"$'\r\n' "$parts/xml"
if [ "$code" = 200 ]; then
  echo "[INFO] Multipart file upload successfully completed"
  rm -fr "$parts"
  rmdir "$folder" 2>/dev/null
  exit 0
fi
rm -f "$parts/xml"
echo "curl: (22) The requested URL returned error: $code" >&2
exit 70
"#
        )
    }
}

/// A script that a client's text would have broken.
fn broken(directives: &str, interpreter: &str, title: &str, code: u8) -> String {
    format!(
        r#"#!{interpreter}
{directives}
echo $(date -u) "{title} (id:${{SLURM_JOB_ID:-unknown}})"
echo "$0: a shell would run or break something at this path" >&2
exit {code}
"#
    )
}
