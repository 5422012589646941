package policy

import (
	"crypto/sha1"
	"encoding/hex"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// Scripts remembers what was found out about code, by the SHA1 that names it to EVALSHA. It is a
// mutable thing beside the immutable Policy: make one, and keep it across reloads, for a Script
// does not depend on rules. It is safe for concurrent use.
//
// It is bounded by an LRU. Code that was pushed out is unseen again, which is the strict side.
type Scripts struct {
	mu   sync.Mutex
	seen *simplelru.LRU[[sha1.Size]byte, *Script]
}

// DefaultScripts is how many pieces of code are remembered where NewScripts is not told.
const DefaultScripts = 4096

// NewScripts makes an empty memory for so many pieces of code; 0 means DefaultScripts.
func NewScripts(size int) *Scripts {
	if size <= 0 {
		size = DefaultScripts
	}
	seen, _ := simplelru.NewLRU[[sha1.Size]byte, *Script](size, nil) // fails below 1 only
	return &Scripts{seen: seen}
}

// Source returns what is found out about a source, scanning it if it was not seen before. It keeps
// nothing of src.
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

// BySHA returns what was found out about the code of that SHA1, in hexadecimal digits of any case
// as EVALSHA takes it, or nil.
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

// Of returns what is known of the code that a request runs or loads: of its source, if it carries
// one, or of its SHA1. Nil means that it was not seen, which for FCALL and FUNCTION RESTORE is
// always so: libraries have names, and what a name stands for is the server's to tell.
func (s *Scripts) Of(cmd *Command, args [][]byte) *Script {
	if src := cmd.Code(args); src != nil {
		return s.Source(src)
	}
	if cmd.runsCode && len(args) > 1 && (cmd.Name == "evalsha" || cmd.Name == "evalsha_ro") {
		return s.BySHA(args[1])
	}
	return nil
}
