// Package sentinel finds the primary that a set of sentinels watches, and reports when it changes.
//
// It asks every sentinel, not one: a sentinel that is partitioned, restarted from an old
// configuration or simply wrong is outvoted. A server is the primary when two sources agree:
//
//   - a majority of the sentinels that count name it (SENTINEL GET-MASTER-ADDR-BY-NAME), and
//   - the server itself says that it is one. Sentinels name a replica before its promotion is over.
//
// Or the primary itself has handed over: it says that it is a replica of a server which most sentinels list as its
// replica, and that one says that it is a primary and continues its history. A server that follows another
// one takes no writes, so there is one primary at most, whatever the sentinels find out later. All other
// replicas follow the new primary, through the old one, so a further failover is one like any other: its sign counts. A majority that names a third
// server has the last word. Without that word of the old primary, a replica that was promoted is not enough: after a crash
// the leading sentinel may die before it announces it, and the others would promote another one.
//
// The last primary stays the primary until both agree on another one. So a proxy that has lost the
// sentinels goes on with the server it has, and a proxy that has never had a majority has no
// primary. It says that it is deaf then (View.Deaf), if there are replicas that a majority elsewhere could promote.
//
// # Who counts
//
// The configured sentinels always count. Another sentinel counts once it has answered under the id
// by which a majority of the configured ones list it, and until they no longer do (SENTINEL RESET).
// A sentinel known by two addresses counts once. A silent sentinel counts, and has no vote: two of
// three must answer.
//
// # Signs
//
// A sentinel shows a failover before any address changes: it holds the primary to be down, with
// others' agreement (o_down), or it leads a failover (failover_in_progress). One sentinel is enough
// for the View's Doubt, since only the leader of a planned failover knows of it, and the old primary
// takes writes for seconds that the new one will not have. Silence ends no doubt: a majority that has named another
// server has decided, whether it answers now or not, and a leader that is too slow to answer goes on. Nor does the end of
// the failover: its leader names the new primary, by a newer epoch, up to two seconds before another sentinel does. What
// to do about a doubt, and for how long, is the caller's decision.
//
// # How
//
// One connection leads to each sentinel, in RESP3: events arrive as pushes between the replies. An
// event makes the sentinel be asked at once; the replies, and not the event, are what counts, since
// an event can be missed. Without events each sentinel is asked once a second, and every 100 ms
// while the primary is in doubt.
//
// judge and electorate decide and do no I/O. One goroutine (Watcher.run) owns the state; it starts
// one per sentinel (Watcher.attend) and one per question to a server (Watcher.askRole). A View is
// immutable; any goroutine may read it.
package sentinel
