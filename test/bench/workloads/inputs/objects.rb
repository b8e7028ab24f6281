# objects.rb - strings, arrays and hashes, with collections: objects.rb REQUESTS
random = Random.new(1)
sessions = {}
sum = 0
ARGV[0].to_i.times do |number|
  words = Array.new(20) { random.rand(10**6).to_s * (1 + random.rand(6)) }
  visits = Hash.new(0)
  words.each { |word| visits[word] += word.size }
  sessions[random.rand(5000)] = { number: number, text: words.join(' '), visits: visits }
  sum += visits.values.sum
end
puts sum
