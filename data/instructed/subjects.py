"""What is explained, described, compared or told of: one topic a line."""

ACTIVITIES = """
learning to swim as an adult
keeping houseplants alive
saving money on groceries
sleeping better
cooking for one person
packing a small suitcase
training a puppy
studying for an exam
growing tomatoes on a balcony
making friends in a new town
reading more books
cleaning a bathroom
riding a bicycle in winter
speaking in front of a group
learning a language at home
baking bread
taking better photos with a phone
running a first long race
keeping a tidy desk
wrapping presents
getting up early
planning meals for a week
painting a room
camping with children
writing a diary
repairing clothes
using less plastic
playing the guitar
hosting a dinner
finding a lost key
"""
THINGS = """
how rain forms
why leaves change color
how a bicycle stays upright
what a mortgage is
how bees make honey
why the moon has phases
how soap works
what inflation means
how a refrigerator keeps food cold
why we dream
how bread rises
what a password manager does
how vaccines work
why the sea is salty
how a compass works
what recycling does with paper
how batteries store energy
why onions make us cry
how airplanes stay in the air
what an insurance policy covers
how a rainbow appears
why cats purr
how glass is made
what a budget is good for
how volcanoes erupt
why we need sleep
how a microwave heats soup
what democracy means
how trees drink water
why ice floats
"""
PLACES = """
a quiet beach in winter
a crowded train station
a small bakery in the morning
an old library
a farm at harvest time
a city park after rain
a fishing harbor
a mountain hut
a school yard at noon
a flea market
a night bus
a kitchen before a feast
a lighthouse in a storm
a village square in summer
a hospital waiting room
a forest path in fog
a music shop
a desert road
a snowy backyard
a rooftop garden
a ferry at dawn
an empty theater
a greenhouse
a campsite in the evening
"""
PRODUCTS = """
a wooden toothbrush
a folding bicycle
a lunch box that keeps warm
a lamp shaped like a moon
a pair of rain boots
a notebook made of stone paper
a solar phone charger
a set of kitchen knives
a tent for two
a wool blanket
a coffee mug that never tips over
a silent alarm clock
a cat tunnel
a backpack for students
a jar of mountain honey
a portable speaker
a pair of garden gloves
a puzzle of the night sky
a travel pillow
a steel water bottle
"""
CHOICES = """
working from home
living in a big city
owning a dog
buying a used car
going to bed early
eating lunch alone
keeping chickens
shopping at a market
having a garden
taking the train to work
learning to drive late in life
paying with cash
sharing an apartment
wearing a school uniform
giving up television
traveling without a plan
reading on a screen
starting a small business
growing your own food
moving close to your parents
"""
PAIRS = """
tea and coffee
cats and dogs
trains and buses
summer and winter
books and movies
the mountains and the sea
an apartment and a house
pencils and pens
lakes and rivers
soup and salad
radio and podcasts
swimming and running
city parks and forests
letters and phone calls
chess and card games
butter and olive oil
"""
SUBJECTS = """
autumn leaves
an old bicycle
the first snow
a cup of tea
the sound of trains
grandfather's garden
a paper boat
rain on a tin roof
the corner shop
fresh bread
a lost glove
the last day of summer
street lamps
a sleeping cat
the smell of books
a long bridge
fireflies
morning fog
an empty swing
the moon over the city
"""
SKILLS = """
boil an egg
change a bicycle tire
fold a shirt
plant a rose
write a check
clean a window
make pancakes
sharpen a knife
set a table
brew green tea
hang a picture
iron a shirt
build a sand castle
polish shoes
light a campfire
tie a necktie
wash a wool sweater
cut an onion
back up a phone
jump start a car
make a paper plane
read a map
wash a dog
mix a salad dressing
"""
MOMENTS = """
your first day in a foreign city
a walk in heavy snow
a day on a fishing boat
the end of a long journey
losing a tooth
moving into an attic room
a night without power
meeting an old classmate
a failed cake
a day at the zoo
an early morning swim
a concert in the park
"""
VISITED = """
a noodle restaurant
a city bike tour
a science museum
a hotel near the station
a pottery class
a car wash
a children's theater
a hiking app
a bakery with a long line
a barber shop
a public swimming pool
a weekend cooking course
"""
