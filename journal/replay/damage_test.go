package replay_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/journal"
	"holdfast/journal/replay"
	"holdfast/journal/stream"
	"holdfast/proxy/proxytest"
)

// stretch is a recording of three bases and several segments, with what the server held at points
// between them.
type stretch struct {
	*recording
	points []moment
}

func recordStretch(t *testing.T, salt string) stretch {
	t.Helper()
	srv := proxytest.StartServer(t, serverArgs...)
	s := stretch{recording: record(t, srv)}
	value := strings.Repeat(salt, 20_000)
	for part := range 3 {
		if part > 0 {
			_, err := s.tap.Snapshot(context.Background())
			check(t, err)
		}
		for half := range 2 {
			for i := range 60 {
				srv.MustDo("SET", fmt.Sprint("k:", part, ":", half, ":", i), value)
			}
			want := digest(srv)
			s.points = append(s.points, moment{offset: s.caughtUp(), digest: want})
		}
	}
	s.stop()
	return s
}

// damages are ways to spoil a file.
var damages = []struct {
	name string
	make func(t *testing.T, path, other string)
}{
	{"flipped near its beginning", func(t *testing.T, path, _ string) { flip(t, path, 30) }},
	{"flipped near its end", func(t *testing.T, path, _ string) { flip(t, path, -70) }},
	{"flipped in the middle", func(t *testing.T, path, _ string) {
		info, err := os.Stat(path)
		check(t, err)
		flip(t, path, int(info.Size()/2))
	}},
	{"cut", func(t *testing.T, path, _ string) {
		info, err := os.Stat(path)
		check(t, err)
		check(t, os.Truncate(path, info.Size()/2))
	}},
	{"empty", func(t *testing.T, path, _ string) { check(t, os.Truncate(path, 0)) }},
	{"missing", func(t *testing.T, path, _ string) { check(t, os.Remove(path)) }},
	{"of another journal", func(t *testing.T, path, other string) {
		b, err := os.ReadFile(other)
		check(t, err)
		check(t, os.WriteFile(path, b, 0o600))
	}},
}

// like gives the file of another journal that is most like one.
func like(path string, theirs []string) string {
	best := ""
	for _, other := range theirs {
		if filepath.Base(other) == filepath.Base(path) {
			return other
		}
		if filepath.Ext(other) == filepath.Ext(path) {
			best = other
		}
	}
	return best
}

// files lists the segments and bases of a journal.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	for _, pattern := range []string{"*.seg", "base-*.rdb"} {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		check(t, err)
		out = append(out, names...)
	}
	return out
}

// TestEveryFileDamaged spoils each file of a journal in every way. Each point is restored exactly,
// or refused before the target is touched; one damaged file never costs all of them.
func TestEveryFileDamaged(t *testing.T) {
	t.Parallel()
	s, other := recordStretch(t, "a"), recordStretch(t, "b")
	ours, theirs := files(t, s.dir), files(t, other.dir)
	if len(ours) < 6 {
		t.Fatalf("%d files", len(ours))
	}
	segments := s.view().Segments()
	last := segments[len(segments)-1]
	for _, path := range ours {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			dst := proxytest.StartServer(t, serverArgs...)
			for _, d := range damages {
				view := s.damaged(t, path, func(copied string) { d.make(t, copied, like(path, theirs)) })
				exact := 0
				for _, m := range []moment{s.points[0], s.points[3], s.points[5]} {
					if s.exactOrRefused(t, d.name, view, dst, m) {
						exact++
					}
				}
				if exact == 0 {
					t.Errorf("%s: nothing can be restored: %v", d.name, view.Damages())
				}
				// A last segment that ends early looks like one that was never written further, and a
				// journal without its first one like one from which retention has removed it.
				ends := d.name == "missing" && strings.HasSuffix(path, segments[0].File) ||
					strings.HasSuffix(path, last.File) && (d.name == "cut" || d.name == "missing" ||
						d.name == "flipped near its end")
				if problems, err := view.Verify(context.Background(), nil); err != nil ||
					len(problems) == 0 && !ends {
					t.Errorf("%s: verify finds %v, %v", d.name, problems, err)
				}
			}
		})
	}
}

// damaged opens a copy of the journal of which one file is spoiled.
func (s stretch) damaged(t *testing.T, path string, spoil func(copied string)) *journal.View {
	t.Helper()
	dir := t.TempDir()
	check(t, os.CopyFS(dir, os.DirFS(s.dir)))
	spoil(filepath.Join(dir, filepath.Base(path)))
	view, err := journal.Salvage(nil, dir)
	check(t, err)
	return view
}

// exactOrRefused restores a point of a damaged journal, and reports whether that could be done.
func (s stretch) exactOrRefused(t *testing.T, name string, view *journal.View,
	dst *proxytest.Server, m moment,
) bool {
	t.Helper()
	ctx := context.Background()
	p, err := replay.Locate(ctx, view, replay.Selector{Kind: replay.AtOffset, Offset: m.offset}, nil)
	var plan *replay.Plan
	if err == nil {
		plan, err = replay.NewPlan(ctx, view, p, nil)
	}
	if err != nil {
		return false
	}
	if p.Offset != m.offset {
		t.Errorf("%s: the point is %d, not %d", name, p.Offset, m.offset)
	}
	got := ""
	o := replay.RestoreOptions{View: view, Plan: plan, Target: dst.Addr, Force: true}
	inspect(func() { got = digest(dst) })(&o)
	if _, err := replay.Restore(ctx, o); err != nil || got != m.digest {
		t.Errorf("%s, offset %d: digest %s, want %s: %v", name, m.offset, got, m.digest, err)
	}
	return true
}

// TestWalkGoesOnBehindDamage: what cannot be read is named, and the next base leads on.
func TestWalkGoesOnBehindDamage(t *testing.T) {
	t.Parallel()
	s := recordStretch(t, "a")
	segments := s.view().Segments()
	flip(t, filepath.Join(s.dir, segments[0].File), int(segments[0].Bytes/2))
	view := s.view()
	var holes []journal.Gap
	last := ""
	count := 0
	err := replay.Commands(context.Background(), view, replay.Walk{
		Gap: func(g journal.Gap) { holes = append(holes, g) }}, func(c *stream.Command) error {
		if c.Is("SET") {
			count++
			last = string(c.Args[1])
		}
		return nil
	})
	if err != nil || len(holes) != 1 || !strings.Contains(holes[0].Why, segments[0].File) {
		t.Errorf("holes %+v, %v", holes, err)
	}
	if last != "k:2:1:59" || count < 250 || count >= 360 {
		t.Errorf("%d of 360 commands, the last is %s", count, last)
	}
	_, err = replay.Locate(context.Background(), view, replay.Selector{Kind: replay.AtOffset,
		Offset: s.points[0].offset}, nil)
	if err == nil || !strings.Contains(err.Error(), "everything can be restored") ||
		!strings.Contains(err.Error(), "on again") {
		t.Errorf("a point behind the damage: %v", err)
	}
}
