package failover

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/loadtest/harness"
)

// fullEnv makes the run that of `make failover`; its value is the file that gets the table, or "-".
const fullEnv = "HOLDFAST_FAILOVER"

// The flags are for `make failover` (FAILOVERFLAGS).
var (
	serversFlag  = flag.String("servers", "valkey,valkey9,redis,redis7", "kinds of servers in the full form")
	roundsFlag   = flag.Int("rounds", 1, "rounds of each scenario")
	clientsFlag  = flag.Int("clients", 50, "clients in the full form")
	onlyFlag     = flag.String("only", "", "only scenarios whose name contains this")
	settingsFlag = flag.String("settings", "", "more YAML of the proxies")
	togetherFlag = flag.Bool("together", false, "play -parallel rounds at a time, and judge them as on a busy machine")
)

// shortClients is the number of clients in the short form.
const shortClients = 10

// program is the proxy.
var program string

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	if os.Getenv(fullEnv) != "" && os.Geteuid() == 0 && os.Getenv(insideEnv) == "" {
		return runInside()
	}
	dir, err := os.MkdirTemp("", "failover")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if program, err = harness.BuildProxy(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// holding is the setting of the rounds.
func holding() variant {
	return variant{hold: "20s", settings: strings.ReplaceAll(*settingsFlag, `\n`, "\n") + "\n"}
}

// TestFailover plays the scenarios, and in the full form writes the table.
func TestFailover(t *testing.T) {
	full := os.Getenv(fullEnv)
	servers, clients := []string{""}, shortClients
	if full != "" {
		servers, clients = strings.Split(*serversFlag, ","), *clientsFlag
	}
	b := &book{began: time.Now(), load: harness.Load(), clients: clients}
	f := form{full: full != "", timely: full != "" && !*togetherFlag}
	t.Run("play", func(t *testing.T) {
		for _, server := range servers {
			for i := range scenarios {
				sc := &scenarios[i]
				if full == "" && !sc.short || !strings.Contains(sc.name, *onlyFlag) ||
					sc.servers != nil && !slices.Contains(sc.servers, server) {
					continue
				}
				for n := range *roundsFlag {
					t.Run(fmt.Sprintf("%s/%s/%d", sc.name, server, n), func(t *testing.T) {
						if !f.timely {
							t.Parallel()
						}
						b.enter(t, server, play(t, sc, server, clients, holding(), f))
					})
				}
			}
		}
	})
	switch {
	case full == "" || full == harness.NoResults:
	case t.Failed():
		t.Log("not written:\n" + b.table())
	default:
		if err := harness.WriteSection(full, "failover", b.table()); err != nil {
			t.Error(err)
		}
	}
}

// The harness finds the loss where the hold, the feed or the fence is off: clients write to the old primary of a planned
// failover, the replicas lack what only the journal has, and clients that go round the proxy write to the old primary for
// ten seconds.
func TestTheHarnessFindsTheLoss(t *testing.T) {
	for _, row := range []struct {
		off, scenario string
		loses         *kind
		variant
	}{
		{"hold", "SENTINEL FAILOVER", plain, variant{hold: "0s", settings: "failover: {feed: off}\n"}},
		{"feed", "kill -9, link to the replicas cut before, up to 50 MB behind", journal,
			variant{hold: "20s", settings: "failover: {feed: off}\n"}},
		{"fence", "the same with failover.fence: off", direct, variant{hold: "20s"}},
	} {
		t.Run(row.off, func(t *testing.T) {
			t.Parallel()
			sc := scenarios[slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == row.scenario })]
			acked := 0
			for range proofRounds {
				out := play(t, &sc, "", shortClients, row.variant, form{})
				if out.of[row.loses].lost > 0 {
					return
				}
				acked += out.of[row.loses].acked
			}
			t.Errorf("%s clients lost nothing of %d in %d rounds", row.loses.name, acked, proofRounds)
		})
	}
}

// proofRounds is how often the harness tries to find the loss: on a busy machine, no client may write
// in the second in which the writes are lost.
const proofRounds = 5
