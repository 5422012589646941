package main

import (
	"context"
	"fmt"
	"os"

	"holdfast/loadtest/crash/history"
)

// proofRounds bounds the rounds until a loss is found. Most show in the first.
const proofRounds = 12

// proofs are the losses that the harness must find: scenarios without a gate, and with a deceived
// one.
func proofs() []scenario {
	tap := []fault{stallTap}
	return []scenario{
		{name: "no gate, journal", about: "the server is killed while the journal is behind",
			journal: true, proxies: 1, lives: 1, faults: tap, finish: finishJournal},
		{name: "no gate, aof", about: "somebody switches the AOF off",
			aof: true, proxies: 1, lives: 1, faults: []fault{switchAOF}, finish: finishAOF},
		{name: "no gate, replicas", about: "the replica is behind",
			replicas: 1, proxies: 1, lives: 1, faults: []fault{freezeReplica, stallReplica},
			finish: finishPromote},
		{name: "passes, replicas", about: "an OK of a route that lets writes pass is taken for a proof",
			ack: ackReplicas, replicas: 1, proxies: 1, lives: 1, manner: manner{passes: true},
			faults: []fault{loseReplica}, finish: finishPromote},
		{name: "WAIT and INFO lie", about: "the one is answered at once with the count that was asked " +
			"for, the other tells an old offset of the primary",
			ack: ackReplicas, replicas: 1, proxies: 1, lives: 1, lie: &lie{wait: true, offset: true},
			faults: []fault{freezeReplica, stallReplica}, finish: finishPromote},
		{name: "WAITAOF and CONFIG lie", about: "the server has no AOF and says it has",
			ack: ackAOF, proxies: 1, lives: 1, lie: &lie{wait: true, aof: true}, finish: finishAOF},
		{name: "the offset lies", about: "INFO tells an old one, so that the journal seems to have it all",
			ack: ackJournal, journal: true, proxies: 1, lives: 1, lie: &lie{offset: true},
			faults: tap, finish: finishJournal},
	}
}

// powerProofs: a disk that lies must be caught, too.
func powerProofs() []scenario {
	list := powerScenarios()
	for i := range list {
		list[i].name = "the disk lies, " + list[i].name
		list[i].about = "a flush is answered and not done"
		list[i].falseDisk = true
	}
	return list
}

// prove plays a scenario until an acknowledged write is lost, and returns how many rounds that took.
func (set *setting) prove(ctx context.Context, sc *scenario, name string, seed uint64) (
	rounds int, err error) {
	for n := range proofRounds {
		fresh := *sc
		fresh.lasting = true // a kill at any moment finds it then
		if sc.lie != nil {
			fresh.lie = sc.lie.again()
		}
		a, err := set.play(ctx, &fresh, fmt.Sprintf("%s-%d", name, n), seed+uint64(n))
		if err != nil {
			return 0, err
		}
		if err := os.RemoveAll(a.dir); err != nil {
			return 0, err
		}
		for _, p := range a.problems {
			if p.What == history.Lost {
				return n + 1, nil
			}
		}
	}
	return 0, fmt.Errorf("%s: nothing was found in %d rounds, so that the harness proves nothing",
		sc.name, proofRounds)
}
