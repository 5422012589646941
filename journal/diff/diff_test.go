package diff

import (
	"errors"
	"testing"

	"holdfast/journal/keyspace"
	"holdfast/proxy/proxytest"
)

// A pass over keys has an end where a server makes keys faster than they are read: at so many more than
// it had at the beginning.
func TestEndOfAPass(t *testing.T) {
	t.Parallel()
	srv := proxytest.Spec{Args: []string{"--enable-debug-command", "yes"}}.Start(t)
	srv.MustDo("DEBUG", "POPULATE", 10)
	s, err := keyspace.Open(t.Context(), keyspace.Endpoint{Address: srv.Addr})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	d := &differ{target: s}
	if err := d.prepare(t.Context()); err != nil || d.most != growth*10+growthAll {
		t.Fatalf("%v, at most %d keys", err, d.most)
	}
	d.most = 2000
	for _, row := range []struct {
		keys int
		want error
	}{{1999, nil}, {2000, nil}, {2001, ErrGrowing}} {
		srv.MustDo("DEBUG", "POPULATE", row.keys)
		given := 0
		err := d.each(t.Context(), s, func(keys []keyspace.Key) error { given += len(keys); return nil })
		if !errors.Is(err, row.want) || row.want == nil && (err != nil || given != row.keys) {
			t.Errorf("%d keys: %d given, %v", row.keys, given, err)
		}
	}
}
