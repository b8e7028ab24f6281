#!/bin/bash
#
# ruby.sh - Ruby: threads around a queue, garbage collection under stress, fork.
#
# Compared: all it prints.

source "$(dirname "${BASH_SOURCE[0]}")/lib/program.sh"
need /usr/bin/ruby ruby

prepare()
{
    cat >work.rb <<'EOF'
require 'digest'
require 'json'
require 'zlib'

random = Random.new(42)

# Producers, consumers; what is handed over lives on in another thread.
queue = SizedQueue.new(64)
results = Queue.new
consumers = 4.times.map do
  Thread.new do
    while (item = queue.pop)
      text = JSON.generate('n' => item, 'list' => (0..item % 50).to_a, 'text' => 'x' * item)
      results << [item, Zlib::Inflate.inflate(Zlib::Deflate.deflate(text)).sum]
    end
  end
end
producers = 4.times.map do |p|
  Thread.new { 1000.times { |i| queue << p * 1000 + i } }
end
producers.each(&:join)
4.times { queue << nil }
consumers.each(&:join)
pairs = Array.new(results.size) { results.pop }.sort
puts "queue #{pairs.size} #{Digest::SHA256.hexdigest(pairs.inspect)}"

# Objects outside the slots of the Ruby heap: long strings, arrays that grow, big numbers.
kept = {}
200_000.times do |i|
  size = 24 + random.rand(400)
  kept[i % 7919] = (i.to_s * (size / 4 + 1))[0, size]
end
puts "strings #{kept.size} #{Digest::SHA256.hexdigest(kept.sort.join)}"
grown = []
300_000.times { |i| grown << i.to_s(36) }
puts "array #{Digest::SHA256.hexdigest(grown.reverse.join(' '))}"
puts "factorial #{(1..3000).inject(:*).to_s.length}"

# A collection at every allocation.
GC.stress = true
stressed = 60.times.map { |i| { i => [i.to_s * 50] } }
GC.stress = false
GC.compact if GC.respond_to?(:compact)
puts "stressed #{Digest::SHA256.hexdigest(stressed.inspect)}"

# Fork while another thread allocates.
busy = true
worker = Thread.new { Array.new(100) { 'y' * random.rand(1000) } while busy }
sums = 8.times.map do |child|
  reader, writer = IO.pipe
  pid = fork do
    reader.close
    writer.write(Digest::SHA256.hexdigest(kept.values.join * (child + 1)))
  end
  writer.close
  text = reader.read
  Process.wait(pid)
  raise "a child ended with #{$?}" unless $?.success?
  text
end
busy = false
worker.join
puts sums
EOF
}

session()
{
    prove /usr/bin/ruby -e 'puts (1..10).sum'
    under /usr/bin/ruby "$XA_PROGRAMS_FOLDER/input/work.rb"
}

run_program
