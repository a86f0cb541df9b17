"""People, what they do, and what there is to tell or to ask them: one topic a line."""

PEOPLE = """
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
"""
MATTERS = """
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
"""
REQUESTS = """
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
"""
OCCASIONS = """
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
"""
FAVORS = """
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
"""
NEWS = """
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
"""
HEROES = """
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
"""
EVENTS = """
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
"""
AUDIENCES = """
a child of eight
a busy parent
a curious grandparent
a classroom of teenagers
somebody who has never heard of it
a visitor from another country
a tired student
a group of beginners
"""
JOBS = """
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
"""
