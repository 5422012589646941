package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"holdfast/journal/rdb"
	"holdfast/journal/vfs"
)

// The end of an RDB: the EOF opcode and a CRC64 of everything up to and with it, zero if the
// server's rdbchecksum is off (rdb.c, rdbSaveRio).
const (
	rdbTrailer = 9
	rdbEOF     = 0xFF
	rdbShort   = 9 + rdbTrailer // magic, version and end
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checkRDB reads a snapshot from the disk and compares it with the bytes written and with the
// server's own checksum at its end. An error that is ErrBase names the fault. It may take a while,
// and ends with ctx.
func checkRDB(ctx context.Context, f vfs.File, size int64, want uint32) error {
	if got, err := f.Size(); err != nil || got != size {
		return fmt.Errorf("%w: %d bytes, want %d (%w)", ErrBase, got, size, orNil(err))
	}
	if size < rdbShort {
		return fmt.Errorf("%w: %d bytes are no RDB", ErrBase, size)
	}
	var crc uint32
	var sum uint64
	head, end := make([]byte, 0, rdbShort), make([]byte, 0, rdbTrailer)
	buf := make([]byte, min(size, 1<<20))
	for at := int64(0); at < size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := f.ReadAt(buf[:min(int64(len(buf)), size-at)], at)
		if err != nil && err != io.EOF {
			return fmt.Errorf("base: read at byte %d: %w", at, err)
		}
		if n == 0 {
			return fmt.Errorf("%w: it ends at byte %d, want %d", ErrBase, at, size)
		}
		p := buf[:n]
		crc = crc32.Update(crc, castagnoli, p)
		body := p[:max(0, min(int64(n), size-8-at))]
		sum = rdb.Sum64(sum, body)
		head = append(head, p[:min(len(p), cap(head)-len(head))]...)
		if from := size - rdbTrailer - at; from < int64(n) {
			end = append(end, p[max(0, from):]...)
		}
		at += int64(n)
	}
	if crc != want {
		return fmt.Errorf("%w: CRC32C %08x, want %08x", ErrBase, crc, want)
	}
	return checkEnds(head, end, sum)
}

func orNil(err error) error {
	if err == nil {
		return io.ErrUnexpectedEOF
	}
	return err
}

func checkEnds(head, end []byte, sum uint64) error {
	if !bytes.HasPrefix(head, []byte("REDIS")) && !bytes.HasPrefix(head, []byte("VALKEY")) {
		return fmt.Errorf("%w: it begins with %q, want REDIS or VALKEY", ErrBase, head[:6])
	}
	if end[0] != rdbEOF {
		return fmt.Errorf("%w: no end mark where the RDB should end", ErrBase)
	}
	if got := binary.LittleEndian.Uint64(end[1:]); got != 0 && got != sum {
		return fmt.Errorf("%w: the server's CRC64 is %016x, that of the bytes %016x", ErrBase, got,
			sum)
	}
	return nil
}
