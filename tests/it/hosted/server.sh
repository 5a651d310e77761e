# A server over standard input and output that does what its tools are called, or what $MODE says.
crash() { exit 3; }
answer() { printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$1"; }
text() { answer "{\"content\":[{\"type\":\"text\",\"text\":\"$1\"}]}"; }
fail() { printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"no such method"}}\n' "$id"; }
note() { printf '{"jsonrpc":"2.0","method":"notifications/%s","params":{%s}}\n' "$1" "$2"; }
id_of() { id=${line#*\"id\":}; id=${id%%[,\}]*}; }
tool() { printf '{"name":"%s","inputSchema":{"type":"object"}}' "$1"; }

call() {
  case $line in
    *'"get_environment"'*) text "$(tr '\0' ';' < /proc/$$/environ)" ;;
    *'"get_files"'*) text "$(ls -l /proc/$$/fd | tr '\n' ' ')" ;;
    *'"get_pid"'*) text "$$" ;;
    *'"get_nothing"'*) ;;
    *'"get_stuck"'*) sleep 1000 ;;
    *'"get_crash"'*) crash ;;
    *'"get_banner"'*) echo 'Server started!'; text ok ;;
    *'"get_garbage"'*) i=0; while [ $i -lt 200 ]; do echo 'no message'; i=$((i+1)); done ;;
    *'"get_huge"'*) head -c 200000 /dev/zero | tr '\0' x; echo ;;
    *'"get_large"'*) printf '{"jsonrpc":"2.0","id":%s,"result":"' "$id"; head -c 200000 /dev/zero | tr '\0' x; echo '"}' ;;
    *'"get_endless"'*) tr '\0' x < /dev/zero ;;
    *'"get_flood"'*) i=0; while [ $i -lt 5000 ]; do printf '\033[31m%s says no\n' "$KEY" >&2; i=$((i+1)); done; text ok ;;
    *'"get_limits"'*) text "$(grep -E 'data size|open files|cpu time|core file' /proc/$$/limits | tr -s ' ' | tr '\n' ';')" ;;
    *'"get_memory"'*) x=$(head -c 50000000 /dev/zero | tr '\0' x); text "${#x}" ;;
    *'"get_busy"'*) while :; do :; done ;;
    *'"get_bomb"'*)
      echo $$ > "$FILE"
      i=0; while [ $i -lt 400 ]; do sleep 1000 & i=$((i+1)); done
      sleep 1000 ;;
    *'"get_fork"'*) sleep 1000 & text "$!" ;;
    *'"get_stray"'*) setsid sleep 1000 & text "$!" ;;
    # One whose parent has ended, and that has ended when this is answered.
    *'"get_orphan"'*)
      orphan=$(sh -c 'sleep 0.1 > /dev/null & echo $!')
      while grep -qs '^State:.[^ZX]' "/proc/$orphan/status"; do sleep 0.01; done
      text "$orphan" ;;
    # Children of the broker that have ended and that nobody has waited for.
    *'"get_left"'*)
      text "$(cat /proc/[0-9]*/stat 2> /dev/null | sed 's/.*) //' | grep -c "^[ZX] $PPID ")" ;;
    *'"get_progress"'*)
      token=${line#*\"progressToken\":}; token=${token%%[,\}]*}
      note message '"level":"info","data":"of somebody else"'
      note progress '"progressToken":999,"progress":9'
      note progress "\"progressToken\":$token,\"progress\":1"
      text ok ;;
    *'"get_question"'*)
      asked=$id
      echo '{"jsonrpc":"2.0","id":"q","method":"sampling/createMessage","params":{}}'
      IFS= read -r line
      id=$asked
      case $line in *'"id":"q"'*-32601*) text refused ;; *) text wrong ;; esac ;;
    # Of the new era alone.
    *'"get_asked"'*)
      case $line in
        *'"inputResponses"'*) text heard ;;
        *) answer '{"resultType":"input_required","inputRequests":{"who":{"method":"elicitation/create","params":{"mode":"form","message":"Who?","requestedSchema":{"type":"object"}}}},"requestState":"of the child"}' ;;
      esac ;;
    *'"get_first"'*)
      first=$id
      IFS= read -r line; id_of; text second
      id=$first; text first ;;
    *'"get_cancelled"'*)
      asked=$id
      IFS= read -r line
      case $line in *notifications/cancelled*"\"requestId\":$asked,"*) echo cancelled > "$FILE" ;; esac ;;
    *) fail ;;
  esac
}

[ "$MODE" = mute ] && exec sleep 1000
[ "$MODE" = dead ] && exit 1
[ "$MODE" = stubborn ] && trap '' TERM
while IFS= read -r line; do
  [ -n "$LOG" ] && printf '%s\n' "$line" >> "$LOG"
  id_of
  case $line in
    *'"method":"server/discover"'*)
      case $MODE in
        modern | listening) answer '{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{"listChanged":true}},"ttlMs":0,"cacheScope":"public"}' ;;
        strict) exit 1 ;;
        *) fail ;;
      esac ;;
    *'"method":"initialize"'*)
      answer '{"protocolVersion":"2025-11-25","capabilities":{"tools":{"listChanged":true},"logging":{}},"serverInfo":{"name":"sh","version":"1"}}' ;;
    *'"method":"ping"'*) answer '{}' ;;
    *'"method":"tools/list"'*) answer "{\"tools\":[$(tool get_pid),$(tool delete_city)]}" ;;
    *'"method":"tools/call"'*) call ;;
    *'"method":"subscriptions/listen"'*)
      mine="\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":$id}"
      note subscriptions/acknowledged "\"notifications\":{},$mine"
      note tools/list_changed '"_meta":{"io.modelcontextprotocol/subscriptionId":999}'
      note tools/list_changed "$mine"
      [ "$MODE" = listening ] || note cancelled "\"requestId\":$id" ;;
    *'"method":"notifications/'*) ;;
    *) fail ;;
  esac
done
[ "$MODE" = stubborn ] && while true; do sleep 1; done
exit 0
