package journal

import (
	"fmt"
	"strconv"
	"strings"
)

// The files of a journal's folder.
const (
	lockName      = "LOCK"
	spareName     = "spare.tmp"
	tmpSuffix     = ".tmp"    // unfinished: removed by Open
	segmentSuffix = ".seg"    // 0000000001.seg
	baseSuffix    = ".rdb"    // base-1-123456.rdb
	basePrefix    = "base-"   //
	brokenSuffix  = ".broken" // cut off by recovery: never touched again
)

func segmentName(seq uint64) string { return fmt.Sprintf("%010d%s", seq, segmentSuffix) }

// parseSegment returns the number in a segment's file name.
func parseSegment(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok {
		return 0, false
	}
	seq, err := strconv.ParseUint(digits, 10, 64)
	return seq, err == nil && seq > 0 && segmentName(seq) == name
}

func baseName(tl TimelineID, offset int64, unique int64) string {
	return fmt.Sprintf("%s%d-%d-%x%s", basePrefix, tl, offset, unique, baseSuffix)
}

func isBase(name string) bool {
	return strings.HasPrefix(name, basePrefix) && strings.HasSuffix(name, baseSuffix)
}

func brokenName(seq uint64, at int64, unique int64) string {
	return fmt.Sprintf("%010d-%d-%x%s", seq, at, unique, brokenSuffix)
}
