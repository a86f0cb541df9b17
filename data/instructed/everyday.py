"""Everyday tasks: ways to ask, and what about. Each is one sentence without a comma.

Topics and whole families are kept apart for the test prompts.
"""

from itertools import product
from typing import NamedTuple


class Family(NamedTuple):
    """Ways to ask, with a place for each slot, and what may stand in the slots."""

    asked: tuple[str, ...]
    slots: tuple[tuple[str, ...], ...]
    only_test: bool = False


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines())


PEOPLE = _lines("""
    a neighbor
    a new colleague
    my landlord
    a teacher
    an old friend
    my grandmother
    a roommate
    a dentist
    a coach
    the school secretary
    a baker
    my sister
    a piano teacher
    the librarian
    a tenant
    a babysitter
    my cousin
    a plumber
    the owner of a small hotel
    a running partner
""")
MATTERS = _lines("""
    a lost umbrella
    a birthday party on Saturday
    a broken dishwasher
    moving to a new apartment
    a picnic by the lake
    feeding the cat over the weekend
    a change of appointment
    borrowing a ladder
    loud music at night
    a package that went to the wrong door
    carpooling to work
    the garden fence
    a surprise visit
    a school trip
    the next book club meeting
    an old photo album
    a used bicycle for sale
    a forgotten lunch box
    the shared laundry room
    a movie night
    watering the plants
    a farewell dinner
    a leaking roof
    the town fair
""")
ACTIVITIES = _lines("""
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
""")
THINGS = _lines("""
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
""")
AUDIENCES = _lines("""
    a child of eight
    a busy parent
    a curious grandparent
    a classroom of teenagers
    somebody who has never heard of it
    a visitor from another country
    a tired student
    a group of beginners
""")
PLACES = _lines("""
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
""")
HEROES = _lines("""
    a shy baker
    a retired sailor
    a girl with a red kite
    two brothers
    a lost dog
    a night nurse
    a young violin player
    a bus driver
    a forgetful inventor
    a gardener
    an old clock maker
    a boy who collects stones
    a postwoman
    a taxi driver from Lima
    a talking crow
    a lonely lighthouse keeper
""")
EVENTS = _lines("""
    finds a map in a coat
    misses the last train
    wins a strange prize
    gets a letter meant for somebody else
    hides from a storm
    learns to forgive
    has to choose between two jobs
    hears music in an empty house
    plants a tree that grows overnight
    meets a twin
    loses a bet
    repairs an old radio
    saves a small animal
    keeps a secret for ten years
    takes the wrong suitcase
    cooks for a king
""")
REQUESTS = _lines("""
    a day off next Friday
    a refund for a torn jacket
    directions to the office
    help with a heavy sofa
    an extension of a deadline
    a copy of a receipt
    a quieter hotel room
    a recipe
    advice on a used car
    permission to use the meeting room
    a letter of recommendation
    a list of vegetarian dishes
    the date of the next rehearsal
    a repair of the elevator
    a parking permit
    feedback on a draft
    a spare key
    more time to pay a bill
    a table for six people
    information about a course
""")
OCCASIONS = _lines("""
    a weekend at the sea
    a picnic with ten guests
    a rainy Sunday with children
    a move across town
    a winter hike
    a birthday at the office
    a garden party
    a long flight
    a first day at school
    a yard sale
    a road trip with a dog
    a visit to the museum
    a quiet evening alone
    a wedding in a barn
    a power cut
    a class reunion
    a fishing trip
    a bake sale
    a night under the stars
    a day without a phone
""")
PRODUCTS = _lines("""
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
""")
CHOICES = _lines("""
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
""")
PAIRS = _lines("""
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
""")
JOBS = _lines("""
    a dog walker
    a cook in a school kitchen
    a night guard at a museum
    a gardener for a hotel
    a bicycle mechanic
    a shop assistant in a bookstore
    a swimming teacher
    a baker who starts at four
    a museum guide
    a driver for a food bank
    a receptionist
    a helper on an apple farm
    a piano tuner
    a tailor
    a house painter
    a lifeguard
""")
SUBJECTS = _lines("""
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
""")
FAVORS = _lines("""
    helping with the move
    a warm scarf
    watching the children
    a ride to the airport
    a home cooked meal
    years of good work
    a beautiful concert
    fixing the computer
    a visit in the hospital
    lending a tent
    the flowers
    teaching me to drive
    a kind word
    a bag of apples
    looking after the house
    an honest opinion
""")
NEWS = _lines("""
    the opening of a small cafe
    a change in the bus schedule
    a free yoga class
    a lost and found day
    the new hours of the library
    a street music festival
    a blood drive
    a recycling weekend
    a bake contest
    the return of the farmers market
    a repair workshop
    an open day at the fire station
    a chess evening
    a swap of winter clothes
    the closing of the pool for a week
    a reading by a local author
""")
SKILLS = _lines("""
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
""")
MOMENTS = _lines("""
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
""")
VISITED = _lines("""
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
""")

FAMILIES = (
    Family(
        (
            "Write a short note to {} about {}.",
            "Leave a message for {} about {}.",
            "Please draft a few lines to {} concerning {}.",
        ),
        (PEOPLE, MATTERS),
    ),
    Family(
        (
            "Write an e-mail to {} asking for {}.",
            "Compose a polite message to {} with a request for {}.",
            "Help me ask {} for {} in an e-mail.",
        ),
        (PEOPLE, REQUESTS),
    ),
    Family(
        (
            "Explain {} to {}.",
            "In simple terms explain {} to {}.",
            "Tell me {} as you would tell {}.",
        ),
        (THINGS, AUDIENCES),
    ),
    Family(
        (
            "Write a short story about {} who {}.",
            "Tell a tale in which {} {}.",
            "Make up a little story where {} {}.",
        ),
        (HEROES, EVENTS),
    ),
    Family(
        (
            "Give me some tips for {}.",
            "What should a beginner know about {}?",
            "Share some advice on {}.",
            "What helps with {}?",
        ),
        (ACTIVITIES,),
    ),
    Family(
        (
            "Describe {}.",
            "Paint a picture of {} in words.",
            "What would one see and hear at {}?",
        ),
        (PLACES,),
    ),
    Family(
        (
            "What do I need for {}?",
            "Plan {} for me.",
            "Suggest how to prepare for {}.",
            "List what to bring to {}.",
        ),
        (OCCASIONS,),
    ),
    Family(
        (
            "Write an advertisement for {}.",
            "Describe {} for an online shop.",
            "Think of a name and a slogan for {}.",
        ),
        (PRODUCTS,),
    ),
    Family(
        (
            "What speaks for and against {}?",
            "Name some good and bad sides of {}.",
            "Is {} a good idea and why?",
        ),
        (CHOICES,),
    ),
    Family(("Compare {}.", "What is the difference between {}?"), (PAIRS,)),
    Family(
        ("Write a job ad for {}.", "Describe the working day of {}.", "What does {} need to know?"),
        (JOBS,),
    ),
    Family(
        ("Write a poem about {}.", "Write a few verses on {}.", "Compose a song about {}."),
        (SUBJECTS,),
    ),
    Family(
        ("Write a thank-you card to {1} for {0}.", "Say thanks to {1} for {0}."),
        (FAVORS, PEOPLE),
    ),
    Family(
        (
            "Write an announcement about {}.",
            "Announce {} on a notice board.",
            "Write a short post for the neighbors about {}.",
        ),
        (NEWS,),
    ),
    Family(
        ("Explain step by step how to {}.", "How do I {}?", "Teach me how to {}."),
        (SKILLS,),
    ),
    Family(
        ("Write a diary entry about {}.", "Tell me about {} as if it were yours."),
        (MOMENTS,),
        only_test=True,
    ),
    Family(
        ("Write a review of {}.", "Write what a happy guest would say about {}."),
        (VISITED,),
        only_test=True,
    ),
    Family(
        ("Write a dialogue between {} and {}.", "Let {} and {} talk on the phone."),
        (HEROES, PEOPLE),
        only_test=True,
    ),
)


def tasks(test: bool) -> list[list[str]]:
    """The tasks of every family, of the training or of the test prompts, in a fixed order.

    No topic of one is in the other; some families are in the test prompts alone.
    """
    found = []
    for family in FAMILIES:
        if family.only_test and not test:
            continue
        slots = [slot if _only_test(slot) else _share(slot, test) for slot in family.slots]
        every = product(family.asked, *slots)
        found.append([asked.format(*topics) for asked, *topics in every])
    return found


def _share(slot: tuple[str, ...], test: bool) -> tuple[str, ...]:
    """Every fourth topic is kept for the test prompts."""
    return tuple(topic for n, topic in enumerate(slot) if (n % 4 == 3) == test)


def _only_test(slot: tuple[str, ...]) -> bool:
    """Whether only families of the test prompts have these topics."""
    return not any(slot in family.slots for family in FAMILIES if not family.only_test)
