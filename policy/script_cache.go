package policy

import (
	"crypto/sha1"
	"encoding/hex"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Scripts caches the analyses of code, by the SHA1 that EVALSHA uses. Unlike the Policy it is
// mutable: make one, and keep it across reloads, since a Script does not depend on rules. It is
// safe for concurrent use.
//
// An LRU bounds it. Evicted code is unseen again, which is the strict side.
type Scripts struct {
	mu   sync.Mutex
	seen *simplelru.LRU[[sha1.Size]byte, *Script]
}

// DefaultScripts is the size of the cache where NewScripts is given none.
const DefaultScripts = 4096

// NewScripts makes an empty cache for that many pieces of code; 0 means DefaultScripts.
func NewScripts(size int) *Scripts {
	if size <= 0 {
		size = DefaultScripts
	}
	seen, _ := simplelru.NewLRU[[sha1.Size]byte, *Script](size, nil) // fails below 1 only
	return &Scripts{seen: seen}
}

// Source returns the analysis of a source, and scans it at the first time. It keeps nothing of src.
func (s *Scripts) Source(src []byte) *Script {
	sum := sha1.Sum(src)
	s.mu.Lock()
	script, known := s.seen.Get(sum)
	s.mu.Unlock()
	if known {
		return script
	}
	script = Scan(src) // two loops may both do so; the result is the same
	s.mu.Lock()
	s.seen.Add(sum, script)
	s.mu.Unlock()
	return script
}

// Seen returns the analysis of a source from the cache, or nil.
func (s *Scripts) Seen(src []byte) *Script {
	sum := sha1.Sum(src)
	s.mu.Lock()
	defer s.mu.Unlock()
	script, _ := s.seen.Get(sum)
	return script
}

// BySHA returns the analysis of the code with that SHA1, or nil. The hexadecimal digits may be in
// any case, as for EVALSHA.
func (s *Scripts) BySHA(digits []byte) *Script {
	var sum [sha1.Size]byte
	if len(digits) != 2*sha1.Size {
		return nil
	}
	if _, err := hex.Decode(sum[:], digits); err != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	script, _ := s.seen.Get(sum)
	return script
}

// Of returns the analysis of the code that a request runs or loads: by its source, if it carries
// one, or by its SHA1. Nil means unseen, which FCALL and FUNCTION RESTORE always are: libraries
// have names, and only the server knows the code behind a name.
func (s *Scripts) Of(cmd *Command, args [][]byte) *Script {
	if src := cmd.Code(args); src != nil {
		return s.Source(src)
	}
	if cmd.runsCode && len(args) > 1 && (cmd.Name == "evalsha" || cmd.Name == "evalsha_ro") {
		return s.BySHA(args[1])
	}
	return nil
}
