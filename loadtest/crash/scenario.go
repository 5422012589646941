package main

// A scenario is a demand, its machines, its faults, and the places that must hold every
// acknowledged write in the end.
type scenario struct {
	name  string
	about string
	ack   string // the route's demand in YAML; empty: there is no route

	journal, fack bool
	aof           bool // of all servers
	replicas      int
	follow        map[int]int // replicas that follow another replica and not the primary
	proxies       int
	manner        manner // of the clients

	lives  int // of primaries, one after the other
	faults []fault
	revive func(*round) error // brings the service back between two lives
	finish func(*round) error // ends the last life, and judges the remains

	prepare func(*round) error // before the load; nil: nothing
	lie     *lie               // of the network before the server; nil: none
	idle    bool               // nothing may be acknowledged in it
	lasting bool               // each fault goes on to the end of the life

	power     bool // the data of server or proxy are on a disk that loses power in the end
	falseDisk bool // which ignores flushes
}

const (
	ackJournal  = "{journal: true}"
	ackAOF      = "{aof: {local: true}}"
	ackReplicas = "{replicas: 1}"
	ackAll      = "{journal: true, replicas: 1, aof: {local: true, replicas: 1}}"
)

// scenarios are the scenarios that must hold. A fault named twice happens twice as often.
func scenarios() []scenario {
	network := []fault{cutLinks, stallLinks, freezePrimary, killClients}
	proxies := []fault{killProxy, killProxy, freezeProxy, restartProxy, changeRoute}
	tap := []fault{cutTap, stallTap, slowTap}
	replica := []fault{freezeReplica, cutReplica, stallReplica, killReplica}
	away := []fault{loseReplica, loseReplica, loseReplica}
	return []scenario{
		{name: "journal", about: "server without persistence is killed, or the proxy, or both; " +
			"restored from the journal",
			ack: ackJournal, journal: true, proxies: 1, lives: 1,
			faults: join(tap, proxies, network), finish: finishJournal},
		{name: "journal, server comes back empty", about: "as its service manager restarts it; each " +
			"history is restored from its timeline",
			ack: ackJournal, journal: true, proxies: 1, lives: 2,
			faults: join(tap, network), revive: restartPrimary, finish: finishTimelines},
		{name: "journal, two proxies", about: "each with a journal of its own",
			ack: ackJournal, journal: true, proxies: 2, lives: 1,
			faults: join(tap, proxies, network), finish: finishJournal},
		{name: "aof local", about: "server with appendfsync always is killed and restarted; AOF is " +
			"switched off and on, and rewritten",
			ack: ackAOF, aof: true, proxies: 1, lives: 3,
			faults: join(network, proxies, []fault{switchAOF, rewriteAOF, rewriteAOF}),
			revive: restartPrimary, finish: finishAOF},
		{name: "replicas 1", about: "the primary is killed, the replica that is ahead is promoted, " +
			"twice; behind a moving address or by reload",
			ack: ackReplicas, replicas: 2, proxies: 1, lives: 2,
			faults: join(network, proxies, replica, replica), revive: failOver,
			finish: finishPromote},
		{name: "replicas 1 beside a journal", about: "which attaches as a replica, and must not count",
			ack: ackReplicas, journal: true, fack: true, replicas: 1, proxies: 1, lives: 1,
			faults: join(tap, replica, replica, []fault{freezeReplica}), finish: finishPromote},
		{name: "replicas 1, only a journal", about: "nothing may be acknowledged at all",
			ack: ackReplicas, journal: true, fack: true, proxies: 1, lives: 1, idle: true,
			faults: join(tap, network), finish: finishJournal},
		{name: "replicas 1, two primaries", about: "the replica is promoted and new connections led to " +
			"it while the old primary lives on",
			ack: ackReplicas, replicas: 2, follow: map[int]int{1: 0}, proxies: 1, lives: 2,
			faults: join(network, replica), revive: split, finish: finishPromote},
		{name: "replicas 1, split brain", about: "the same, and both primaries go on, each with a replica; " +
			"what was acknowledged since is on one of these",
			ack: ackReplicas, replicas: 3, follow: map[int]int{1: 0}, proxies: 1, lives: 1,
			faults: []fault{cutLinks, cutReplica, freezeProxy}, finish: finishSplitBrain},
		{name: "aof of a replica", about: "primary and replica are killed; the replica is restarted " +
			"from its AOF",
			ack: "{aof: {replicas: 1}}", journal: true, fack: true, aof: true, replicas: 1,
			proxies: 1, lives: 1,
			faults: join(network, proxies, []fault{freezeReplica, cutReplica, stallReplica}),
			finish: finishReplicaAOF},
		{name: "journal, every sort of client", about: "users, databases, functions, CLIENT REPLY",
			ack: ackJournal, journal: true, proxies: 1, lives: 1, manner: variety,
			faults: join(tap, proxies, network), finish: finishJournal},
		{name: "aof local, every sort of client", about: "the same",
			ack: ackAOF, aof: true, proxies: 1, lives: 2, manner: variety,
			faults: join(network, proxies, []fault{switchAOF, rewriteAOF}),
			revive: restartPrimary, finish: finishAOF},
		{name: "replicas 1, every sort of client", about: "the same",
			ack: ackReplicas, replicas: 2, proxies: 1, lives: 2, manner: variety,
			faults: join(network, proxies, replica), revive: failOver, finish: finishPromote},
		{name: "replicas 1, on_timeout close", about: "what is not proven in time has no answer",
			ack: ackReplicas, replicas: 1, proxies: 1, lives: 1, manner: manner{closes: true},
			faults: join(away, replica, network), finish: finishPromote},
		{name: "replicas 1, when_unavailable pass", about: "an OK may be no promise: what HOLDFAST ACK " +
			"calls confirmed is",
			ack: ackReplicas, replicas: 1, proxies: 1, lives: 1,
			manner: manner{passes: true, asks: true},
			faults: join(away, replica, []fault{changeRoute, killProxy}), finish: finishPromote},
		{name: "all", about: "journal, replica, AOF of both: everything is killed, and each of them " +
			"holds all",
			ack: ackAll, journal: true, aof: true, replicas: 1, proxies: 1, lives: 1,
			faults: join(network, proxies, tap, []fault{freezeReplica, cutReplica, stallReplica}),
			finish: finishAll},
		{name: "all, two proxies", about: "one server with two proxies and their journals",
			ack: ackAll, journal: true, aof: true, replicas: 1, proxies: 2, lives: 1,
			faults: join(network, proxies, tap, []fault{freezeReplica, cutReplica, stallReplica}),
			finish: finishAll},
	}
}

// powerScenarios need root, see package fusedisk.
func powerScenarios() []scenario {
	return []scenario{
		{name: "journal, power loss", about: "of the machine with proxy and server: what was not " +
			"flushed is gone",
			ack: ackJournal, journal: true, proxies: 1, lives: 1, power: true,
			faults: []fault{cutTap, slowTap, cutLinks, killProxy}, finish: finishPower},
		{name: "aof local, power loss", about: "of the server's machine",
			ack: ackAOF, aof: true, proxies: 1, lives: 1, power: true,
			faults: []fault{cutLinks, killClients, rewriteAOF}, finish: finishPower},
	}
}

func join(lists ...[]fault) (all []fault) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}
