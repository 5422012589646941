package drills

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// spoil turns one bit of a file of the journal over, in the middle of it.
func (s *scene) spoil(path string) {
	s.Helper()
	b, err := os.ReadFile(path)
	if err != nil || len(b) == 0 {
		s.Fatal(path, err)
	}
	b[len(b)/2] ^= 4
	if err := os.WriteFile(path, b, 0o600); err != nil {
		s.Fatal(err)
	}
}

// files are those of the journal that match, oldest first.
func (s *scene) files(pattern string) []string {
	s.Helper()
	list, err := filepath.Glob(filepath.Join(s.dir, "data", "journal", pattern))
	if err != nil || len(list) == 0 {
		s.Fatal(pattern, list, err)
	}
	slices.Sort(list)
	return list
}

// recordedTwice begins a scene whose journal has two bases, with stream behind each. It ends with
// both servers down.
func (s *scene) recordedTwice() (end contents) {
	s.Helper()
	s.begin(s.server(), payRoute)
	fill(s, s.addr, s.size())
	s.recorded()
	s.ask("SNAPSHOT")
	s.pays("second", 100)
	s.recorded()
	end = contentsOf(s, s.srv.Addr)
	s.proxy.Stop()
	s.srv.Kill()
	return end
}

// baseDamaged: the newest base has a wrong bit; the one before it leads to the same point.
func baseDamaged(s *scene) {
	want := s.recordedTwice()
	bases := s.files("base-*.rdb")
	s.spoil(bases[len(bases)-1])
	dst := s.target()
	if out := s.run(0); !strings.Contains(out, "cannot be used") {
		s.Fatal("the damage is not said")
	}
	s.tells("the command")
	s.holds(dst.Addr, want)
}

// segmentDamaged: a segment has a wrong bit; the newest base leads to the end all the same.
func segmentDamaged(s *scene) {
	s.begin(s.server(), payRoute)
	fill(s, s.addr, s.size())
	s.recorded()
	s.proxy.Stop() // seals the segment
	s.start()
	s.ask("SNAPSHOT")
	s.pays("second", 100)
	s.recorded()
	want := contentsOf(s, s.srv.Addr)
	s.proxy.Stop()
	s.srv.Kill()
	s.spoil(s.files("*.seg")[0])
	dst := s.target()
	s.run(0)
	s.tells("nothing: the newest base leads to the end without it")
	s.holds(dst.Addr, want)
}
