# How ./run talks: a line per stage with its seconds, and the noise of other programs in a log file.
# shellcheck shell=bash

heartbeat_s=10  # a long stage shows life this often when nobody looks at a terminal

say() { printf '[%s] %s\n' "$1" "$2"; }

# fail CODE STAGE MESSAGE: ends ./run.
fail() {
  say "$2" "$3" >&2
  exit "$1"
}

# human_kib KIB: the size as the program writes sizes (human_bytes in base/text.h).
human_kib() {
  awk -v bytes="$1" 'BEGIN { bytes *= 1024; if (bytes >= 1e9) printf "%.2fGB", bytes / 1e9; else printf "%.2fMB", bytes / 1e6 }'
}

# did_you_mean WORD CANDIDATE...: " (did you mean 'test'?)" for the candidate within a third of its length in edits, or nothing: as in base/text.h.
did_you_mean() {
  word=$1 awk 'function min(a, b) { return a < b ? a : b }
    function edits(a, b,   i, j, d, same) {
      for (i = 0; i <= length(a); ++i) d[i, 0] = i
      for (j = 0; j <= length(b); ++j) d[0, j] = j
      for (i = 1; i <= length(a); ++i) for (j = 1; j <= length(b); ++j) {
        same = substr(a, i, 1) == substr(b, j, 1)
        d[i, j] = min(min(d[i - 1, j], d[i, j - 1]) + 1, d[i - 1, j - 1] + !same)
        if (i > 1 && j > 1 && substr(a, i, 1) == substr(b, j - 1, 1) && substr(a, i - 1, 1) == substr(b, j, 1)) d[i, j] = min(d[i, j], d[i - 2, j - 2] + 1)
      }
      return d[length(a), length(b)]
    }
    BEGIN {
      word = ENVIRON["word"]
      for (k = 1; k < ARGC; ++k) {
        longer = length(word) > length(ARGV[k]) ? length(word) : length(ARGV[k])
        most = int(longer / 3) > 1 ? int(longer / 3) : 1
        distance = edits(word, ARGV[k])
        if (distance <= most && (best == "" || distance < least)) { best = ARGV[k]; least = distance }
      }
      if (best != "") printf " (did you mean \047%s\047?)", best
    }' "${@:2}"
}

# run_logged STAGE WHAT LOG COMMAND...: runs COMMAND with its output in LOG; when it fails, shows the end of LOG and ends ./run.
run_logged() {
  local stage=$1 what=$2 log=$3 began=$SECONDS
  shift 3
  mkdir -p "$(dirname "$log")"
  : >"$log"
  say "$stage" "$what ..."
  if "$@" </dev/null 2>&1 | append_to_log "$stage" "$what" "$log"; then
    say "$stage" "$what: done ($((SECONDS - began)) s)"
  else
    say "$stage" "$what: FAILED after $((SECONDS - began)) s; the last 20 lines of $log:" >&2
    tail -n 20 "$log" | sed 's/^/    /' >&2
    exit 1
  fi
}

# append_to_log STAGE WHAT LOG: standard input goes to LOG, and a line tells every few seconds that the stage is alive.
append_to_log() {
  local stage=$1 what=$2 log=$3 began=$SECONDS next=$((SECONDS + heartbeat_s)) line status
  while true; do
    status=0
    IFS= read -r -t "$heartbeat_s" line || status=$?
    if ((status == 0)); then
      printf '%s\n' "$line" >>"$log"
    else
      printf '%s' "$line" >>"$log"
      ((status > 128)) || return 0 # end of input; above 128 only the waiting time is over
    fi
    if ((SECONDS >= next)); then
      say "$stage" "$what ... $((SECONDS - began)) s"
      next=$((SECONDS + heartbeat_s))
    fi
  done
}

# thin_out PATTERN LOG: copies standard input to LOG and to the screen, of the lines that match PATTERN one per heartbeat only.
thin_out() {
  local pattern=$1 log=$2 next=$((SECONDS + heartbeat_s)) line
  : >"$log"
  while IFS= read -r line || [ -n "$line" ]; do
    printf '%s\n' "$line" >>"$log"
    if [[ ! $line =~ $pattern ]]; then
      printf '%s\n' "$line"
    elif ((SECONDS >= next)); then
      printf '%s\n' "$line"
      next=$((SECONDS + heartbeat_s))
    fi
  done
}
