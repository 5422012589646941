package keyspace

import (
	"context"
	"testing"
	"time"

	"holdfast/proxy/proxytest"
)

// TestBase says of keys on two servers how each stands to what it was before.
func TestBase(t *testing.T) {
	for _, bin := range proxytest.Binaries(t) {
		t.Run(bin.String(), func(t *testing.T) {
			src, dst := proxytest.StartServer(t), proxytest.Spec{Kind: bin.Kind}.Start(t)
			both := func(args ...any) { src.MustDo(args...); dst.MustDo(args...) }
			far := time.Now().Add(time.Hour).UnixMilli()
			for _, k := range []string{"ours", "theirs", "both", "none", "gone", "deadline"} {
				both("SET", k, "base", "PXAT", far)
			}
			both("HSET", "hash", "f", 1, "g", 2)
			both("HSET", "other", "f", 1, "g", 2)
			source, target := open(t, src), open(t, dst)
			keys := all(t, source)
			keys = append(keys, Key{0, "new"}, Key{0, "never"})
			base := map[Key]Print{}
			err := Prints(context.Background(), source, KeysOf(keys), func(k Key, p Print) error {
				again, rest, err := ReadPrint(append(p.Append(nil), "rest"...))
				if err != nil || again != p || string(rest) != "rest" {
					t.Errorf("%v: %+v %q %v, want %+v", k, again, rest, err, p)
				}
				base[k] = p
				return nil
			})
			if err != nil || len(base) != len(keys) {
				t.Fatalf("%d prints, %v", len(base), err)
			}
			src.MustDo("SET", "theirs", "1", "PXAT", far)
			src.MustDo("SET", "both", "1", "PXAT", far)
			src.MustDo("HDEL", "other", "g")
			src.MustDo("SET", "new", 1)
			dst.MustDo("SET", "ours", "2", "PXAT", far)
			dst.MustDo("SET", "both", "2", "PXAT", far)
			dst.MustDo("DEL", "gone")
			dst.MustDo("PEXPIREAT", "deadline", far+1)
			dst.MustDo("HDEL", "hash", "f")
			dst.MustDo("HSET", "hash", "f", 1) // equal, in another order
			got := outcomes(t, Options{Source: source, Target: target,
				Base: func(k Key) Print { return base[k] }}, keys)
			for name, want := range map[string][3]Relation{
				"ours": {Differs, Same, Differs}, "theirs": {Differs, Differs, Same},
				"both": {Differs, Differs, Differs}, "none": {Same, Same, Same},
				"gone": {Missing, Same, Missing}, "deadline": {Differs, Same, Differs},
				"hash": {Same, Same, Same}, "other": {Differs, Differs, Same},
				"new": {Missing, Extra, Same}, "never": {Same, Same, Same},
			} {
				r := got[Key{0, name}]
				if is := [3]Relation{r.Relation, r.SourceSince, r.TargetSince}; is != want {
					t.Errorf("%s: %v, want %v", name, is, want)
				}
			}
		})
	}
}

// TestSign has transactions between the writes of a key that no other client sees.
func TestSign(t *testing.T) {
	src, dst := proxytest.StartServer(t), proxytest.StartServer(t)
	src.MustDo("SET", "a", 1)
	src.MustDo("SELECT", 0)
	dst.MustDo("SET", "b", 1)
	got := outcomes(t, Options{Source: open(t, src), Target: open(t, dst), Decide: always,
		Sign: "sign", SignValue: "7"}, []Key{{0, "a"}, {0, "b"}})
	if got[Key{0, "a"}].Outcome != Written || got[Key{0, "b"}].Outcome != Deleted {
		t.Errorf("%+v", got)
	}
	if dst.MustDo("EXISTS", "a") != int64(1) || dst.MustDo("EXISTS", "b", "sign") != int64(0) {
		t.Error("the target is not what the source is")
	}
	dst.MustDo("ACL", "SETUSER", "narrow", "on", "nopass", "+@all", "~a")
	narrow, err := Open(context.Background(), Endpoint{Address: dst.Addr, Username: "narrow"})
	if err != nil {
		t.Fatal(err)
	}
	defer narrow.Close()
	src.MustDo("SET", "a", 2)
	got = outcomes(t, Options{Source: open(t, src), Target: narrow, Decide: always, Sign: "sign"},
		[]Key{{0, "a"}})
	if r := got[Key{0, "a"}]; r.Outcome != Failed || r.Reason == nil {
		t.Errorf("without the right to the sign: %+v", r)
	}
}
