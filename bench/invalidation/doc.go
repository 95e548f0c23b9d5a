// Command invalidation measures what coherence costs: how long after its acknowledgement a write has raised the floors of
// many edges, what stopped edges cost their home in memory, what an event costs however many entries it voids, and how much
// longer a write to a strong database takes than one to a bounded one. The table goes to standard output, and with all
// figures into a folder.
package main
