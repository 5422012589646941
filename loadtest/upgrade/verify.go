package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"time"

	"holdfast/loadtest/harness"
)

// verify compares the acknowledged writes with the server, and the server with the journal. The proxy has ended.
func (s *scene) verify(ctx context.Context, root, program string) error {
	if err := s.acknowledged(); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, program, "journal", "ls", "--json", "--dir", s.journal).Output()
	if err != nil {
		return fmt.Errorf("journal ls: %w", err)
	}
	if err := s.report.history(out); err != nil {
		return err
	}
	if text, err := exec.CommandContext(ctx, program, "journal", "verify", "--dir", s.journal).CombinedOutput(); err != nil {
		s.report.broken = append(s.report.broken, fmt.Sprintf("journal verify: %v: %s", err, text))
	}
	server, err := harness.Program(root, "valkey", "valkey-server")
	if err != nil {
		return err
	}
	diff := exec.CommandContext(ctx, program, "diff", "--dir", s.journal, "--against", "redis://"+s.server.Addr,
		"--server-bin", server, "--rate", "0")
	if text, err := diff.CombinedOutput(); err != nil {
		s.report.broken = append(s.report.broken, fmt.Sprintf("diff: %v: %s", err, text))
	}
	return nil
}

// batch is the number of keys that are asked for at a time.
const batch = 500

// acknowledged looks for every write that was answered OK.
func (s *scene) acknowledged() error {
	c, err := harness.DialClient(s.server.Addr, time.Minute)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, cl := range s.clients {
		for from := 0; from < len(cl.acked); from += batch {
			some := cl.acked[from:min(from+batch, len(cl.acked))]
			args := []string{"MGET"}
			for _, n := range some {
				args = append(args, cl.key(n))
			}
			v, err := c.Must(args...)
			if err != nil {
				return err
			}
			values, _ := v.([]any)
			for i, n := range some {
				if len(values) != len(some) || values[i] != fmt.Sprint(n) {
					s.report.lost++
				}
			}
		}
	}
	return nil
}

// history looks for gaps in the output of journal ls.
func (r *report) history(ls []byte) error {
	var v struct {
		Timelines, Gaps, Incidents []any
		Segments                   []struct {
			Ranges []struct{ Timeline, From, To int64 }
		}
	}
	if err := json.Unmarshal(ls, &v); err != nil {
		return fmt.Errorf("journal ls: %w", err)
	}
	r.timelines, r.gaps, r.segments = len(v.Timelines), len(v.Gaps), len(v.Segments)
	at := int64(-1)
	for _, s := range v.Segments {
		for _, part := range s.Ranges {
			if at >= 0 && part.From != at {
				r.gaps++
			}
			at = part.To
		}
	}
	if len(v.Incidents) > 0 {
		r.broken = append(r.broken, fmt.Sprintf("%d incidents in the journal", len(v.Incidents)))
	}
	return nil
}
