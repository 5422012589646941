package policy

import (
	"errors"
	"fmt"
	"strings"
)

// Categories is a set of ACL categories. The bits up to CatScripting mean the same in every
// table; categories that modules add get the bits above, each table its own. The server has 64
// in all as well (ACL_CATEGORY_* in server.h), so a set always has room.
type Categories uint64

// The categories that every server has.
const (
	CatKeyspace Categories = 1 << iota
	CatRead
	CatWrite
	CatSet
	CatSortedSet
	CatList
	CatHash
	CatString
	CatBitmap
	CatHyperLogLog
	CatGeo
	CatStream
	CatPubSub
	CatAdmin
	CatFast
	CatSlow
	CatBlocking
	CatDangerous
	CatConnection
	CatTransaction
	CatScripting
)

// standardCategories holds the names in the order of the bits.
var standardCategories = [...]string{
	"keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap",
	"hyperloglog", "geo", "stream", "pubsub", "admin", "fast", "slow", "blocking",
	"dangerous", "connection", "transaction", "scripting",
}

const maxCategories = 64

// Has reports whether all categories of want are in the set.
func (c Categories) Has(want Categories) bool { return c&want == want }

// Any reports whether the set and want have a category in common.
func (c Categories) Any(want Categories) bool { return c&want != 0 }

// categoryNames gives the categories of one table their bits.
type categoryNames struct {
	names  []string
	byName map[string]Categories
}

func newCategoryNames() *categoryNames {
	return &categoryNames{
		names:  append([]string(nil), standardCategories[:]...),
		byName: bitsByName[Categories](standardCategories[:]),
	}
}

// intern returns the bit of a category, given with or without the leading @.
func (n *categoryNames) intern(name string) (Categories, error) {
	name = strings.ToLower(strings.TrimPrefix(name, "@"))
	if bit, ok := n.byName[name]; ok {
		return bit, nil
	}
	if name == "" {
		return 0, errors.New("an ACL category without a name")
	}
	if len(n.names) == maxCategories {
		return 0, fmt.Errorf("more than %d ACL categories, the last @%s", maxCategories, name)
	}
	bit := Categories(1) << len(n.names)
	n.names = append(n.names, name)
	n.byName[name] = bit
	return bit, nil
}

// groupOrder lists the categories that identify a command's group, the most specific first:
// BITCOUNT is in @bitmap only, PFADD in @hyperloglog, GEOADD in @geo.
var groupOrder = []struct {
	category Categories
	group    string
}{
	{CatStream, "stream"}, {CatGeo, "geo"}, {CatHyperLogLog, "hyperloglog"},
	{CatBitmap, "bitmap"}, {CatSortedSet, "sorted_set"}, {CatHash, "hash"},
	{CatList, "list"}, {CatSet, "set"}, {CatString, "string"}, {CatPubSub, "pubsub"},
	{CatTransaction, "transactions"}, {CatScripting, "scripting"},
	{CatConnection, "connection"}, {CatAdmin, "server"}, {CatKeyspace, "generic"},
	{CatDangerous, "server"},
}

// groupOf guesses the group of a command that the built-in table does not know.
func groupOf(flags Flags, cats Categories) string {
	if flags.Has(FlagModule) {
		return "module"
	}
	for _, g := range groupOrder {
		if cats.Has(g.category) {
			return g.group
		}
	}
	return "generic"
}
