package event

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Counts bounds the keys of each database at a place of the stream. The zero value is: unknown.
type Counts struct {
	DBs []DBCount `json:"dbs,omitempty"` // ascending
	// Rest says that every other database is empty.
	Rest bool `json:"rest,omitempty"`
}

// DBCount bounds the keys of a database. If Low equals High, the number is exact.
type DBCount struct {
	DB   int   `json:"db"`
	Low  int64 `json:"low"`
	High int64 `json:"high"`
}

// Known reports that there are bounds for every database.
func (c Counts) Known() bool { return c.Rest }

// Exact reports that all numbers are exact.
func (c Counts) Exact() bool {
	return c.Rest && !slices.ContainsFunc(c.DBs, func(d DBCount) bool { return d.Low != d.High })
}

// Empty reports that there is certainly no key.
func (c Counts) Empty() bool { return c.Exact() && c.total() == 0 }

// MayBeEmpty reports that there may be no key.
func (c Counts) MayBeEmpty() bool {
	return !slices.ContainsFunc(c.DBs, func(d DBCount) bool { return d.Low > 0 })
}

func (c Counts) total() (high int64) {
	for _, d := range c.DBs {
		high += d.High
	}
	return high
}

// String formats the counts: "db0 1005000, db3 12 to 15", "no keys", "unknown".
func (c Counts) String() string {
	var parts []string
	for _, d := range c.DBs {
		switch {
		case d.Low == d.High && d.High == 0 && c.Rest:
		case d.Low == d.High:
			parts = append(parts, fmt.Sprintf("db%d %d", d.DB, d.High))
		default:
			parts = append(parts, fmt.Sprintf("db%d %d to %s", d.DB, d.Low, strconv.FormatInt(d.High, 10)))
		}
	}
	switch {
	case len(parts) == 0 && c.Rest:
		return "no keys"
	case len(parts) == 0:
		return "unknown"
	case !c.Rest:
		parts = append(parts, "others unknown")
	}
	return strings.Join(parts, ", ")
}

func (c Counts) clone() Counts {
	c.DBs = slices.Clone(c.DBs)
	return c
}

// copy makes c equal to o, reusing c's memory.
func (c *Counts) copy(o *Counts) { c.DBs, c.Rest = append(c.DBs[:0], o.DBs...), o.Rest }

// at returns the bounds of a database for changes; nil: unknown.
func (c *Counts) at(db int) *DBCount {
	i := 0
	for ; i < len(c.DBs) && c.DBs[i].DB <= db; i++ { // few have keys
		if c.DBs[i].DB == db {
			return &c.DBs[i]
		}
	}
	if !c.Rest || db < 0 {
		return nil
	}
	c.DBs = slices.Insert(c.DBs, i, DBCount{DB: db})
	return &c.DBs[i]
}

// of returns the bounds of a database where Rest is true.
func (c *Counts) of(db int) DBCount {
	for _, d := range c.DBs {
		if d.DB == db {
			return d
		}
	}
	return DBCount{DB: db}
}

// set sets the exact number of a database's keys.
func (c *Counts) set(db int, low, high int64) {
	i, ok := slices.BinarySearchFunc(c.DBs, db, func(d DBCount, db int) int { return d.DB - db })
	if !ok {
		c.DBs = slices.Insert(c.DBs, i, DBCount{DB: db})
	}
	c.DBs[i].Low, c.DBs[i].High = low, high
}

func (c *Counts) drop(db int) {
	c.DBs = slices.DeleteFunc(c.DBs, func(d DBCount) bool { return d.DB == db })
}

// change applies a command: it adds low to high keys to a database. A command in an unknown
// database may have changed any.
func (c *Counts) change(db int, low, high int64) {
	if db < 0 {
		c.DBs, c.Rest = c.DBs[:0], false
		return
	}
	if d := c.at(db); d != nil {
		d.Low, d.High = max(0, d.Low+low), max(0, d.High+high)
	}
}

// swap exchanges two databases.
func (c *Counts) swap(a, b int) {
	c.at(a)
	y := c.at(b)
	x := c.at(a) // again: at(b) may have moved it
	switch {
	case x != nil && y != nil:
		x.Low, y.Low = y.Low, x.Low
		x.High, y.High = y.High, x.High
	case x != nil:
		c.set(b, x.Low, x.High)
		c.drop(a)
	case y != nil:
		c.set(a, y.Low, y.High)
		c.drop(b)
	}
}
