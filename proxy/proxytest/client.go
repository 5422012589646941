package proxytest

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// NewClient returns a go-redis client for tests: RESP3, the default user, no retries, so that a
// test sees each failure, and no handshake beyond HELLO.
func NewClient(network, address, password string) *redis.Client {
	return redis.NewClient(&redis.Options{
		Network:         network,
		Addr:            address,
		Password:        password,
		MaxRetries:      -1,
		DialerRetries:   1,
		DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{
			Mode: maintnotifications.ModeDisabled,
		},
	})
}

// noLog drops go-redis's log: tests get the same failures as errors.
type noLog struct{}

func (noLog) Printf(context.Context, string, ...any) {}

func init() { redis.SetLogger(noLog{}) }

// PollTimeout is how long Poll waits for its condition. It must end a hanging test, but not a slow
// one: under a load of 30 some steps took 20 s.
const PollTimeout = time.Minute

const (
	// pollFirst and pollMost are the shortest and the longest pause between two looks.
	pollFirst, pollMost = 2 * time.Millisecond, 50 * time.Millisecond
	// pollShare is the part of the time waited so far that a pause may add to it.
	pollShare = 10
)

// Poll waits until cond holds, and fails the test when it does not within PollTimeout. The failure
// names the condition by what. The longer it waits, the longer its pauses are: many tests wait at a
// time, and their conditions take processor time from what they wait for.
func Poll(t testing.TB, what string, cond func() bool) {
	t.Helper()
	began := time.Now()
	for !cond() {
		waited := time.Since(began)
		if waited > PollTimeout {
			t.Fatalf("waited %v for: %s", PollTimeout, what)
		}
		time.Sleep(min(max(waited/pollShare, pollFirst), pollMost))
	}
}
