package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"holdfast/loadtest/harness"
)

// A row is one command, with the clients' latencies before and during it.
type row struct {
	what           string
	before, during lap
	took           time.Duration
	peak           int64 // bytes
	note           string
}

// measured runs a command of the proxy program among clients.
func (s *stack) measured(ctx context.Context, what string, command func(client, n int) []string, result any,
	args ...string) (r row, err error) {
	c, err := s.startClients(ctx, command)
	if err != nil {
		return r, err
	}
	r.what = what
	warm := min(s.quiet/4, time.Second)
	time.Sleep(warm)
	c.lap()
	time.Sleep(s.quiet)
	r.before = c.lap()
	var out []byte
	out, r.took, r.peak, err = s.run(ctx, args...)
	if err == nil {
		err = json.Unmarshal(out, result)
	}
	r.during = c.lap()
	time.Sleep(warm) // until writes are accepted
	r.during.refused = max(r.during.refused, c.lap().refused)
	if stopped := c.stop(); err == nil {
		err = stopped
	}
	return r, err
}

const heading = "| what | time | its memory | p50 before | during | p99 before | during | ratio | longest | |\n" +
	"|---|--:|--:|--:|--:|--:|--:|--:|--:|---|\n"

// String is the row in Markdown.
func (r row) String() string {
	ms := func(d time.Duration) string { return fmt.Sprintf("%.2f ms", d.Seconds()*1000) }
	return fmt.Sprintf("| %s | %.1f s | %d MiB | %s | %s | %s | %s | %.1f | %s | %s |\n", r.what, r.took.Seconds(),
		r.peak>>20, ms(r.before.p50), ms(r.during.p50), ms(r.before.p99), ms(r.during.p99),
		float64(r.during.p99)/float64(r.before.p99), ms(r.during.max), r.note)
}

// tailOf writes so many bytes of SETs to random keys.
func (b *bench) tailOf(bytes float64) func(*harness.Client) error {
	return func(c *harness.Client) error {
		const depth = 1000
		for round, sent := 0, 0.0; sent < bytes; round++ {
			for range depth {
				key, value := "key:"+strconv.Itoa(rand.IntN(b.keys)), fmt.Sprintf("%0100d", round)
				c.Put("SET", key, value)
				sent += float64(len("*3\r\n$3\r\nSET\r\n$\r\n\r\n$100\r\n\r\n") + len(key) + len(value) + 2)
			}
			if err := c.Flush(); err != nil {
				return err
			}
			for range depth {
				if v, err := c.Reply(); err != nil || v != "OK" {
					return fmt.Errorf("SET: %v, %w", v, err)
				}
			}
		}
		return nil
	}
}

// repaired is the part needed of proxy repair --json.
type repaired struct {
	Closed                       bool
	Fed                          int64  `json:"fed_commands"`
	Whole                        bool   `json:"fed_whole"`
	NotFed                       string `json:"not_fed"`
	Touched, Conflicts, Verified int64
	Paused                       time.Duration `json:"paused_ns"`
}

// repair loses the writes of fn and repairs the loss among clients.
func (s *stack) repair(ctx context.Context, what string, command func(client, n int) []string,
	fn func(*harness.Client) error) (row, *repaired, error) {
	if err := s.lose(ctx, fn); err != nil {
		return row{}, nil, err
	}
	var rep repaired
	r, err := s.measured(ctx, what, command, &rep, "repair", "--config", s.config, "--incident",
		strconv.Itoa(s.incident), "--conflicts", "skip", "--json")
	if err == nil && (!rep.Closed || rep.Conflicts > 0) {
		err = fmt.Errorf("repair: %+v", rep)
	}
	return r, &rep, err
}

func measureFeed(ctx context.Context, b *bench) (string, error) {
	var text strings.Builder
	fmt.Fprintf(&text, "### Feed: a server of %d keys that nothing has written since\n\n%s", b.keys, heading)
	err := b.withStack(ctx, "feed", b.keys, func(s *stack) error {
		for _, share := range []float64{0.01, 0.1, 1} {
			r, rep, err := s.repair(ctx, fmt.Sprintf("feed of %g MB", b.tail*share), s.readAndProbe,
				b.tailOf(b.tail*share*1e6))
			if err == nil && !rep.Whole {
				err = fmt.Errorf("it was not fed: %s", rep.NotFed)
			}
			if err != nil {
				return err
			}
			r.note = fmt.Sprintf("%d commands; writes refused for %.0f ms", rep.Fed, r.during.refused.Seconds()*1000)
			text.WriteString(r.String())
		}
		return nil
	})
	return text.String() + "\n", err
}

func measureKeys(ctx context.Context, b *bench) (string, error) {
	return b.byKeys(ctx, "keys", fmt.Sprintf("Repair by keys of a tail of %g MB, %d keys", b.tail, b.keys),
		b.tailOf(b.tail*1e6))
}

func measureValues(ctx context.Context, b *bench) (string, error) {
	value := strings.Repeat("0123456789abcdef", 62500) // 1 MB
	return b.byKeys(ctx, "values", fmt.Sprintf("Repair by keys of values of %g MB", b.value),
		func(c *harness.Client) error {
			for i := range int(b.value) {
				for _, args := range [][]string{{"APPEND", "large string", value}, {"RPUSH", "large list", value},
					{"HSET", "large hash", strconv.Itoa(i), value}} {
					if _, err := c.Must(args...); err != nil {
						return err
					}
				}
			}
			return nil
		})
}

// byKeys measures a repair while clients write.
func (b *bench) byKeys(ctx context.Context, name, title string, tail func(*harness.Client) error) (string, error) {
	text := "### " + title + "\n\n" + heading
	err := b.withStack(ctx, name, b.keys, func(s *stack) error {
		r, rep, err := s.repair(ctx, "repair", s.readAndWrite, tail)
		if err != nil {
			return err
		}
		r.note = fmt.Sprintf("%d keys compared, %d put back and verified; paused for %.1f s", rep.Touched, rep.Verified,
			rep.Paused.Seconds())
		text += r.String() + "\n"
		return nil
	})
	return text, err
}

// compared is the part needed of proxy diff --json.
type compared struct {
	Same   bool
	Keys   int64
	Paused float64 `json:"paused_seconds"`
}

func measureDiff(ctx context.Context, b *bench) (string, error) {
	text := fmt.Sprintf("### Diff of %d keys\n\n%s", b.diffKeys, heading)
	err := b.withStack(ctx, "diff", b.diffKeys, func(s *stack) error {
		for _, args := range [][]string{{"--sample", strconv.Itoa(b.sample)}, {"--rate", b.rate}} {
			var res compared
			r, err := s.measured(ctx, "diff "+strings.Join(args, " "), s.readAndWrite, &res,
				append([]string{"diff", "--config", s.config, "--json"}, args...)...)
			if err == nil && (!res.Same || res.Keys == 0) {
				err = fmt.Errorf("diff: %+v", res)
			}
			if err != nil {
				return err
			}
			r.note = fmt.Sprintf("%d keys compared; paused for %.1f s", res.Keys, res.Paused)
			text += r.String()
		}
		return nil
	})
	return text + "\n", err
}
