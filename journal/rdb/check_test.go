package rdb_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"holdfast/journal/rdb"
	"holdfast/proxy/proxytest"
)

// dump is the file that a server writes.
func dump(t *testing.T, kind string, args ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	srv := proxytest.Spec{Kind: kind, Args: append([]string{"--dir", dir, "--databases", "64"},
		args...)}.Start(t)
	populate(srv)
	srv.Save()
	b, err := os.ReadFile(filepath.Join(dir, "dump.rdb"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestCheck flips each bit pattern of a byte, cuts and lengthens the dumps of six servers.
func TestCheck(t *testing.T) {
	for _, bin := range proxytest.Matrix(t) {
		t.Run(bin.String(), func(t *testing.T) {
			file := dump(t, bin.Kind)
			rep, err := rdb.Check(iotest.HalfReader(bytes.NewReader(file)))
			if err != nil || !rep.Proven() || rep.Unknown != nil || rep.Size != int64(len(file)) ||
				rep.Header.Server != bin.Version {
				t.Fatalf("%+v, %v", rep, err)
			}
			step := 1 + len(file)/500
			for at := 0; at < len(file); at += step {
				bad := bytes.Clone(file)
				bad[at] ^= 1 << (at % 8)
				refused(t, "flipped", at, bad)
				refused(t, "cut", at, file[:at])
			}
			refused(t, "more behind it", len(file), append(bytes.Clone(file), 0))
			refused(t, "twice", len(file), append(bytes.Clone(file), file...))
		})
	}
}

func refused(t *testing.T, what string, at int, file []byte) {
	t.Helper()
	if _, err := rdb.Check(bytes.NewReader(file)); !errors.Is(err, rdb.ErrDamaged) &&
		!errors.Is(err, rdb.ErrFormat) {
		t.Errorf("%s at byte %d: %v", what, at, err)
	}
}

// Without a checksum only the structure is known to be whole: that is no proof, and a cut shows.
func TestCheckWithoutSum(t *testing.T) {
	file := dump(t, "valkey9", "--rdbchecksum", "no")
	rep, err := rdb.Check(bytes.NewReader(file))
	if err != nil || rep.Proven() || rep.Contents == nil {
		t.Errorf("%+v, %v", rep, err)
	}
	for _, at := range []int{12, len(file) / 2, len(file) - 9, len(file) - 1} {
		refused(t, "cut", at, file[:at])
	}
}

// A format that is not known yet is proven by its checksum, and by nothing else.
func TestCheckUnknownFormat(t *testing.T) {
	body := "REDIS0099\xfa\x09redis-ver\x0599.00\x63\x01k\x05value\xff"
	sum := binary.LittleEndian.AppendUint64(nil, rdb.Sum64(0, []byte(body)))
	rep, err := rdb.Check(strings.NewReader(body + string(sum)))
	if err != nil || !rep.Proven() || !errors.Is(rep.Unknown, rdb.ErrUnknown) {
		t.Errorf("%+v, %v", rep, err)
	}
	rep, err = rdb.Check(strings.NewReader(body + strings.Repeat("\x00", 8)))
	if err != nil || rep.Proven() {
		t.Errorf("without a checksum: %+v, %v", rep, err)
	}
	refused(t, "flipped", 20, []byte(body+string(sum[:7])+"\x00"))
}

// The disk's own error is no damage of the file's.
func TestCheckDiskError(t *testing.T) {
	broken := errors.New("the disk")
	r := io.MultiReader(strings.NewReader("REDIS0011\xfe\x00"), iotest.ErrReader(broken))
	if _, err := rdb.Check(r); !errors.Is(err, broken) {
		t.Error(err)
	}
}

// Fields of any length, and lengths of any form, are read past.
func TestLongFields(t *testing.T) {
	length := func(n int) string {
		return "\x81" + string(binary.BigEndian.AppendUint64(nil, uint64(n)))
	}
	for name, row := range map[string]struct {
		size  int
		found bool
	}{"short": {100, true}, "long": {20 << 10, true}, "beyond the head": {1 << 20, false}} {
		text := "REDIS0011\xfa\x03lua" + length(row.size) + strings.Repeat("x", row.size) +
			"\xfa" + length(7) + "repl-id\x04abcd\xff"
		text += string(binary.LittleEndian.AppendUint64(nil, rdb.Sum64(0, []byte(text))))
		h, err := rdb.ReadHeader(strings.NewReader(text))
		if err != nil || (h.ReplID == "abcd") != row.found {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
		if rep, err := rdb.Check(strings.NewReader(text)); err != nil || !rep.Proven() {
			t.Errorf("%s: %v", name, err)
		}
	}
}
