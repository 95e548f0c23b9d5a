package invalidation

import (
	"hash/fnv"
	"strconv"
)

// tagFloors is how many floors a database has for tags. Tags are a policy's to make up, so they may not crowd out the
// floors of relations: two that share a floor are voided together.
const tagFloors = 1 << 14

// TagName returns the name under which a tag stands among the relations of an event or an entry. No relation has it:
// "schema.table" has a dot.
func TagName(tag string) string {
	h := fnv.New64a()
	h.Write([]byte(tag)) // never fails
	sum := h.Sum64()
	return "#" + strconv.FormatUint((sum^sum>>32)%tagFloors, 16)
}

// TagNames returns the names of tags.
func TagNames(tags []string) []string {
	if len(tags) == 0 {
		return nil
	}
	names := make([]string, len(tags))
	for i, tag := range tags {
		names[i] = TagName(tag)
	}
	return names
}
